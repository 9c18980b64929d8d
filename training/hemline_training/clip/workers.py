"""Several processes training one model, each on its share of every batch, via torchrun."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.distributed as dist
from tqdm import tqdm


@dataclass(frozen=True)
class Workers:
    """The group of processes this one belongs to; alone, every method does nothing."""

    rank: int = 0
    count: int = 1

    @classmethod
    def join(cls) -> Workers:
        """The group that torchrun's environment describes, or a group of one without it."""
        if "WORLD_SIZE" not in os.environ or not dist.is_available():
            return cls()
        if not dist.is_initialized():
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def leads(self) -> bool:
        return self.rank == 0

    def say(self, message: str) -> None:
        if self.leads:
            tqdm.write(message)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()

    def share(self, length: int) -> slice:
        """This process's part of a batch; ValueError unless `count` divides `length`."""
        part, rest = divmod(length, self.count)
        if rest:
            raise ValueError(f"a batch of {length} cannot be shared by {self.count} processes")
        return slice(self.rank * part, (self.rank + 1) * part)

    def gather(self, parts: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Tensors (B / count, D) as the whole batch's (B, D); gradients flow to own rows only.

        The parameters' gradients of all processes must then be added (`add_gradients`), which makes
        them those of one process with the whole batch.
        """
        if self.count == 1:
            return list(parts)
        own = torch.cat(list(parts), dim=1).contiguous()
        rows = [torch.empty_like(own) for _ in range(self.count)]
        dist.all_gather(rows, own.detach())
        rows[self.rank] = own
        return list(torch.split(torch.cat(rows), [part.shape[1] for part in parts], dim=1))

    def add_gradients(self, parameters: Sequence[torch.Tensor], shared: torch.Tensor) -> None:
        """Sums gradients over processes; `shared` gets the mean, every process having all of it."""
        if self.count == 1:
            return
        if shared.grad is not None:
            shared.grad /= self.count
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients])
        dist.all_reduce(flat)
        totals = torch.split(flat, [g.numel() for g in gradients])
        for gradient, total in zip(gradients, totals, strict=True):
            gradient.copy_(total.view_as(gradient))

    def copy_leader(self, tensors: Sequence[torch.Tensor]) -> None:
        """Overwrites the tensors with the leader's."""
        if self.count > 1:
            for tensor in tensors:
                dist.broadcast(tensor, 0)
