"""One release, in retrieval: opened and checked beside the old -> room for it? -> caught up ->
warmed -> flipped in one step. The old one answers meanwhile, and afterwards for who still asks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from hemline.contracts import VectorQuery
from hemline.errors import ReleaseError
from hemline.live_following import Follower, following
from hemline.live_items import LiveItems
from hemline.releases import Release, open_release
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.loaded_release import LoadedRelease

logger = logging.getLogger(__name__)

_OVERHEAD = 0.35  # what an index adds to its vectors at most, as a share of them
_BYTES_AN_ITEM = 1_000  # ids, titles and columns in memory


class ReleaseLoader:
    """Changes the release of a retrieval that is running.

    root: folder of releases. follower_of: what keeps a release's live items up to date; None
    without an event log. max_memory_bytes: of all loaded releases; 0: what the machine has.
    """

    def __init__(
        self,
        root: Path,
        retrieval: FlatRetrieval,
        follower_of: Callable[[LiveItems], Follower] | None = None,
        max_memory_bytes: int = 0,
    ) -> None:
        self._root = root
        self._retrieval = retrieval
        self._follower_of = follower_of
        self._max_memory_bytes = max_memory_bytes
        self._followed: dict[LiveItems, contextlib.AsyncExitStack] = {}
        self._one_at_a_time = asyncio.Lock()

    async def load(self, release_id: str) -> LiveItems:
        """Make a release the current one; harmless when it is.

        Raises NotFoundError when there is no such release, ReleaseError when it is not whole or
        does not fit into memory; the present one goes on then.
        """
        async with self._one_at_a_time:
            if self._retrieval.release.id == release_id:
                return self._retrieval.items
            release = await asyncio.to_thread(open_release, self._root, release_id)
            self._check_room(release)
            loaded = await asyncio.to_thread(lambda: self._retrieval.load(LiveItems(release)))
            await self.follow(loaded.items)
            await asyncio.to_thread(_warm, loaded)
            self._retrieval.flip(loaded)
            logger.info("release %s is the current one", release_id)
            await self._forget_dropped()
            return loaded.items

    async def follow(self, items: LiveItems) -> None:
        """Returns once the live items have caught up; they are kept up to date from then on."""
        if self._follower_of is None:
            return
        follower = self._follower_of(items)
        await follower.wait_until_caught_up()
        self._followed[items] = contextlib.AsyncExitStack()
        await self._followed[items].enter_async_context(following(follower))

    async def close(self) -> None:
        """Stop following, with a last snapshot."""
        for stack in self._followed.values():
            await stack.aclose()

    async def _forget_dropped(self) -> None:
        for items in self._followed.keys() - set(self._retrieval.loaded):
            await self._followed.pop(items).aclose()

    def _check_room(self, release: Release) -> None:
        vectors = sum(release.vectors(space).nbytes for space in release.spaces)
        needed = int((1 + _OVERHEAD) * vectors) + _BYTES_AN_ITEM * len(release.item_content)
        if self._max_memory_bytes:
            held = self._retrieval.memory_bytes()
            free, of = self._max_memory_bytes - held, "of the bound set for this process"
        else:
            free, of = psutil.virtual_memory().available, "on this machine"
        if needed > free:
            raise ReleaseError(
                f"release {release.id} needs about {needed / 1e6:.0f} MB beside the present one, "
                f"and {max(free, 0) / 1e6:.0f} MB are free {of}"
            )


def _warm(loaded: LoadedRelease) -> None:
    """Touch every page of it once."""
    for space in loaded.release.spaces:
        vector = np.zeros(loaded.dim(space), dtype=np.float32)
        vector[0] = 1.0
        loaded.search(VectorQuery(space, vector, 100))
