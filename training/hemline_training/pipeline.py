"""The `train` story: a catalogue in, a release folder out.

catalogue -> CLIP vectors -> event log (simulated, or given) -> time split
-> fit on the past, learn the blend on validation -> evaluate on test
-> refit on everything -> release
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from rich.console import Console
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from hemline.catalogue import ITEM_SCHEMA, Catalogue
from hemline.encoders.towers import save_towers
from hemline.releases import Release, write_release
from hemline.vectors import F32
from hemline_training import metrics
from hemline_training.blend import Blend, CandidatesConfig, fit_blend, rank_cases
from hemline_training.evaluation import evaluate, print_table
from hemline_training.interactions import Interactions
from hemline_training.item_vectors import Encoder, ItemVectors, item_vectors
from hemline_training.models import Models, ModelsConfig, fit_models
from hemline_training.simulator import SimulatorConfig, simulate
from hemline_training.splits import Cases, cases_at, split_by_time
from hemline_training.two_tower import Towers


@dataclass(frozen=True)
class TrainConfig:
    """One training run. Everything random follows from `seed`.

    catalogue: folder with items.parquet, or the file. home: where releases/, cache/ and logs/ live.
    encoder: what `load_clip` takes. events: a parquet of user_id, item_id, kind, occurred_ms and
    perhaps session_id; without it a log is SIMULATED. users: simulated shoppers, 0 for three an
    item within 2,000 to 20,000. quick: few users and epochs, for a first look or a test.
    threads: for fitting; 0 for half of the cores, as two threads that must share one core are many
    times slower than one (measured: 165 s instead of 16 s for one fit on a busy machine).
    """

    catalogue: Path
    home: Path
    encoder: str = "hemline"
    events: Path | None = None
    seed: int = 0
    users: int = 0
    epochs: int = 12
    quick: bool = False
    threads: int = 0
    k: int = 20
    most_cases: int = 4_000
    models: ModelsConfig = field(default_factory=ModelsConfig)
    simulator: SimulatorConfig = field(default_factory=SimulatorConfig)
    candidates: CandidatesConfig = field(default_factory=CandidatesConfig)

    def simulator_config(self, items: int) -> SimulatorConfig:
        users = self.users or int(np.clip(3 * items, 2_000, 20_000))
        return replace(
            self.simulator, users=min(users, 1_000) if self.quick else users, seed=self.seed
        )

    @property
    def fit_threads(self) -> int:
        return self.threads or max((os.cpu_count() or 1) // 2, 1)

    def models_config(self) -> ModelsConfig:
        two_tower = replace(
            self.models.two_tower, epochs=2 if self.quick else self.epochs, seed=self.seed
        )
        ials = replace(self.models.ials, threads=self.fit_threads, seed=self.seed)
        return replace(self.models, two_tower=two_tower, ials=ials)


def train(
    config: TrainConfig, encoder: Encoder | None = None, console: Console | None = None
) -> Release:
    """Train everything and write one release below config.home / "releases"; nothing is promoted.

    encoder: used instead of loading config.encoder. Raises CatalogueError or InvalidInputError for
    unusable inputs. Prints stages, timings and the evaluation table to `console` (default: stderr).
    """
    console = console or Console(stderr=True)
    clock = _Clock(console)
    if encoder is None:
        from hemline.encoders.clip import load_clip

        encoder = load_clip(config.encoder)
    with clock.stage("catalogue"):
        catalogue = Catalogue.load(config.catalogue)
    with clock.stage("CLIP vectors"):
        vectors = item_vectors(encoder, config.catalogue, catalogue, config.home / "cache")
    with _threads(config.fit_threads):
        return _fit_and_release(config, encoder, catalogue, vectors, console, clock)


def _fit_and_release(
    config: TrainConfig,
    encoder: Encoder,
    catalogue: Catalogue,
    vectors: ItemVectors,
    console: Console,
    clock: _Clock,
) -> Release:
    content = vectors.content
    with clock.stage("event log"):
        log = _event_log(config, catalogue, content)
    split = split_by_time(log)
    cut = _cutter(config, log)
    validation = cut(split.validation_ms, split.test_ms)
    test = cut(split.test_ms, split.end_ms)

    # 1. On the past alone: how long to train the towers, and how to weigh the parts.
    chosen = config.models_config()
    with clock.stage("fit until validation"):
        past = fit_models(
            log,
            content,
            catalogue,
            split.validation_ms,
            chosen,
            validate=tower_recall(validation, content, config.k),
        )
    with clock.stage("learn the blend"):
        ranked = rank_cases(past, validation, config.candidates, config.k)
        blend = fit_blend(ranked, validation, config.candidates, config.k)

    # 2. The same recipe as of the test's first moment, measured on what came after.
    chosen = replace(
        chosen, two_tower=replace(chosen.two_tower, stop_after=max(past.towers.epoch, 1))
    )
    with clock.stage("fit until test"):
        recent = fit_models(log, content, catalogue, split.test_ms, chosen)
    with clock.stage("evaluate"):
        ranked = rank_cases(recent, test, config.candidates, config.k)
        result = evaluate(ranked, test, blend, recent.twins, config.k, config.seed)
    simulated = bool(log.about.get("simulated", False))
    label = "SIMULATED log, " if simulated else ""
    print_table(result, f"{label}{len(catalogue):,} items, {len(log):,} events", simulated, console)

    # 3. The release is fitted on everything there is, as is usual; the metrics above are of step 2.
    with clock.stage("refit on all events"):
        final = fit_models(log, content, catalogue, split.end_ms, chosen)
    with clock.stage("write the release"):
        about = {
            "encoder": {"name": encoder.name, "encoder_id": encoder.encoder_id, "dim": encoder.dim},
            "tower_dim": final.item_tower.shape[1],
            "cf_factors": final.cf_factors.shape[1],
            "items": len(catalogue),
            "catalogue": _catalogue_name(config.catalogue),
            "log": {**log.about, "events": len(log), "users": len(log.user_ids)},
            "data_sha256": data_sha256(catalogue, content, log),
            "split": asdict(split),
            "tower_epochs": past.towers.epoch,
            "tower_history": [asdict(epoch) for epoch in past.towers.history],
            "metrics": {
                **result,
                "simulated": simulated,
                "fitted_until": "test; the release on all",
            },
            "seconds": clock.seconds,
        }

        def build(folder: Path) -> dict[str, Any]:
            export(folder, config.catalogue, encoder, vectors, final, blend, log.about)
            return about

        release = write_release(config.home / "releases", build)
    console.print(f"release {release.id}: {release.folder}")
    if blend.left_out:
        console.print(f"left out by the blend, as they earn no weight: {', '.join(blend.left_out)}")
    return release


def export(
    folder: Path,
    catalogue: Path,
    encoder: Encoder,
    vectors: ItemVectors,
    models: Models,
    blend: Blend,
    log: dict[str, Any],
) -> None:
    """Write the files of a release (see `hemline.releases.FILES`) into an empty folder."""
    items = catalogue / "items.parquet" if catalogue.is_dir() else catalogue
    columns = [name for name in (*ITEM_SCHEMA.names, "tenant") if name != "image"]
    there = pq.read_schema(items).names
    table = pq.read_table(items, columns=[name for name in columns if name in there])
    pq.write_table(table, folder / "items.parquet", compression="zstd")
    encoder.save(folder / "clip")
    save_towers(folder / "towers.safetensors", user=models.towers.user, item=models.towers.item)
    arrays: dict[str, Any] = {
        "item_content": models.content,
        "item_image": vectors.image,
        "item_text": vectors.text,
        "item_tower": models.item_tower,
        "cf_item_factors": models.cf_factors,
        "neighbours_rows": models.neighbours_rows,
        "neighbours_scores": models.neighbours_scores,
        "popularity": models.popularity,
        "trending": models.trending,
        "twins": models.twins.rows(len(models.popularity)),
    }
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", np.ascontiguousarray(array), allow_pickle=False)
    (folder / "cf.json").write_text(json.dumps(models.ials.manifest(), indent=2) + "\n")
    (folder / "blend.json").write_text(json.dumps(blend.manifest(log), indent=2) + "\n")


def tower_recall(
    cases: Cases, content: F32, k: int, most: int = 1_000
) -> Callable[[Towers], float]:
    """Recall@k of towers alone on at most so many cases with a history; for early stopping."""
    profiles, known = cases.histories.profiles(content)
    at = np.flatnonzero(known)[:most]
    targets, seen = cases.targets[at], cases.histories.seen[at]

    def score(towers: Towers) -> float:
        if len(at) == 0:
            return 0.0
        items, users = towers.items(content), towers.users(profiles[at])
        found = []
        for start in range(0, len(at), 256):
            part = slice(start, start + 256)
            scores = users[part] @ items.T
            scores[seen[part].nonzero()] = -np.inf
            found.append(metrics.top_k(scores, k))
        hit = metrics.hits(np.concatenate(found), targets)
        return float(metrics.recall(hit, np.diff(targets.indptr), k).mean())

    return score


def data_sha256(catalogue: Catalogue, content: F32, log: Interactions) -> str:
    """Identity of what the models were fitted on: item ids, content vectors and events."""
    digest = hashlib.sha256("\n".join(catalogue.item_ids).encode())
    for array in (content, log.users, log.rows, log.kinds, log.occurred_ms):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _event_log(config: TrainConfig, catalogue: Catalogue, content: F32) -> Interactions:
    if config.events is not None:
        return Interactions.from_table(pq.read_table(config.events), catalogue.item_ids)
    log = simulate(catalogue, content, config.simulator_config(len(catalogue)))
    folder = config.home / "logs"
    folder.mkdir(parents=True, exist_ok=True)
    name = f"simulated-{_catalogue_name(config.catalogue)}-seed{config.seed}.parquet"
    pq.write_table(log.to_table(catalogue.item_ids), folder / name, compression="zstd")
    return log


def _cutter(config: TrainConfig, log: Interactions) -> Callable[[int, int], Cases]:
    def cut(start_ms: int, end_ms: int) -> Cases:
        limit = config.models.history_limit
        return cases_at(log, start_ms, end_ms, limit, config.most_cases, config.seed)

    return cut


def _catalogue_name(path: Path) -> str:
    folder = path if path.is_dir() else path.parent
    return folder.resolve().name


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        with threadpool_limits(count):
            yield
    finally:
        torch.set_num_threads(before)


class _Clock:
    """Prints and remembers how long each stage took, in seconds."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 2)
        self.console.print(f"{name:<24} {self.seconds[name]:8.2f} s")
