"""A soak of retrieval: searches, changes, deletions, release flips and kill -9, all at once.

    python tests/faults/retrieval_soak.py --seconds 600

One writer publishes changes of two releases; several searchers ask a real retrieval process for
either, with and without filters; now and then it is killed and started again, or told to change its
release. Every answer is compared with what was published: each item must have been in a state that
matches the filter and gives the score, at some moment between SEEN_WITHIN_S before the question and
the answer; and every item that stayed the same all that time and belongs there must be there. Where
the machine is so busy that answers or publishes take long, changes are given as much longer.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import random
import sys
import tempfile
import time
from collections import Counter, defaultdict, deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from brute_force import matches
from free_ports import free_port
from hemline.event_log import VECTORS_TOPIC
from hemline.filters import Filter, In, InStock, Not, Range
from hemline.live_change import Change
from hemline.live_record import change_to_proto, record_key
from hemline.releases import Release, open_release
from hemline.rpc import connect
from hemline.sqlite_event_log import SqliteEventLog
from hemline.v1 import retrieval_pb2 as pb
from hemline.v1.retrieval_pb2_grpc import RetrievalServiceStub
from hemline.vectors import normalise, pack_f32
from hemline.wire import filter_to_proto
from live_changes import new_state
from small_world import CLIP_DIM, build_small_release

SEEN_WITHIN_S = 2.0  # of a publish, on a machine that is busy with much else
SLOWER_FOR_S = 10.0  # so long after a slow answer, changes may be slow too
START_WITHIN_S = 120.0
GRACE_S = 80.0  # a machine that is slow gets more time for a kill, a flip and some searches
_TIE = 1e-4
FILTERS: tuple[Filter | None, ...] = (
    None,
    InStock(),
    In("colour", ("red", "mauve")),
    Not(In("colour", ("red",))),
    Range("price", 10.0, 30.0),
)


@dataclass
class State:
    """What an item was from `since` on; change.item None: not there."""

    change: Change
    since: float


@dataclass
class Report:
    """problems: at most the first twenty; each is a sentence."""

    seconds: float = 0.0
    searches: int = 0
    results: int = 0
    changes: int = 0
    kills: int = 0
    flips: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


class Truth:
    """Every state of every item of each release, by the time it was published."""

    def __init__(self, releases: list[Release]) -> None:
        self._states: dict[str, dict[str, list[State]]] = {}
        for release in releases:
            content, tower = release.item_content, release.item_tower
            self._states[release.id] = defaultdict(
                list,
                {
                    item.item_id: [State(Change(item.item_id, item, content[row], tower[row]), 0.0)]
                    for row, item in enumerate(release.catalogue.items())
                },
            )

    def publishing(self, release_id: str, change: Change) -> None:
        """From now on the new state may be seen."""
        self._states[release_id][change.item_id].append(State(change, time.monotonic()))

    def problems(
        self,
        release_id: str,
        query: np.ndarray,
        condition: Filter | None,
        k: int,
        found: dict[str, float],
        since: float,
        answered: float,
    ) -> list[str]:
        """What is wrong with an answer, which may be of any moment from `since` to `answered`."""
        wrong = []
        states = self._states[release_id]
        floor = min(found.values()) if len(found) >= k else -np.inf
        for item_id, score in found.items():
            possible = _between(states.get(item_id, []), since, answered)
            if not any(_fits(state.change, query, condition, score) for state in possible):
                was = [
                    s.change.item and (s.change.item.colour, s.change.item.price) for s in possible
                ]
                wrong.append(f"{item_id} scored {score:.4f} under {condition}; it was {was}")
        for item_id, history in list(states.items()):
            possible = _between(history, since, answered)
            if len(possible) != 1 or item_id in found or possible[0].since > since:
                continue
            change = possible[0].change
            if change.item is None or not _matches(change, condition):
                continue
            if change.content is not None and float(change.content @ query) > floor + _TIE:
                wrong.append(f"{item_id} is missing under {condition}")
        return [f"release {release_id}: {each}" for each in wrong]


def _between(history: list[State], start: float, end: float) -> list[State]:
    """The states an item was in at any moment from start to end."""
    ends = [state.since for state in history[1:]] + [np.inf] * bool(history)
    return [s for s, until in zip(history, ends, strict=True) if s.since <= end and until >= start]


def _matches(change: Change, condition: Filter | None) -> bool:
    return change.item is not None and (condition is None or matches(condition, change.item))


def _fits(change: Change, query: np.ndarray, condition: Filter | None, score: float) -> bool:
    if not _matches(change, condition) or change.content is None:
        return False
    return abs(float(change.content @ query) - score) <= _TIE


class Soak:
    """One run. defect: what is planted into the server, see soak_server.py."""

    def __init__(self, folder: Path, seconds: float, seed: int, defect: str = "none") -> None:
        self._folder = folder
        self._defect = defect
        self._ends = time.monotonic() + seconds
        self._random = random.Random(seed)
        root = folder / "releases"
        build_small_release(root)
        build_small_release(root)
        self._releases = [open_release(root, path.name) for path in sorted(root.glob("r0*"))]
        self._truth = Truth(self._releases)
        self._log = SqliteEventLog(folder / "events.sqlite")
        self._address = f"127.0.0.1:{free_port()}"
        self._server: asyncio.subprocess.Process | None = None
        self._took: deque[tuple[float, float]] = deque(maxlen=10_000)  # ended, seconds
        self.report = Report()

    async def run(self) -> Report:
        began = time.monotonic()
        try:
            async with connect(self._address) as channel:
                stub = RetrievalServiceStub(channel)
                await self._start(stub)
                self._ends += time.monotonic() - began  # the start is not part of the soak
                searching = [self._search(stub, number) for number in range(3)]
                await asyncio.gather(self._change(), self._disturb(stub), *searching)
        finally:
            await self._stop(kill=True)
            await self._log.close()
        self.report.seconds = round(time.monotonic() - began, 1)
        return self.report

    @property
    def _over(self) -> bool:
        done = self.report
        if time.monotonic() > self._ends + GRACE_S or done.problems:
            return True
        much = done.searches >= 50 and done.kills and done.flips
        return bool(much) and time.monotonic() > self._ends

    async def _start(self, stub: RetrievalServiceStub) -> None:
        command = [sys.executable, str(Path(__file__).with_name("soak_server.py")), self._defect]
        command += ["--releases", str(self._folder / "releases"), "--address", self._address]
        command += ["--log", f"sqlite:{self._folder}/events.sqlite", "--metrics-port", "0"]
        command += ["--snapshots", str(self._folder / "live"), "--watched-share", "0.2"]
        command += ["--fold-after", "20"]
        with (self._folder / "server.log").open("a") as log:
            self._server = await asyncio.create_subprocess_exec(*command, stderr=log)
        deadline = time.monotonic() + START_WITHIN_S
        while True:
            try:
                await stub.Stats(pb.StatsRequest(), timeout=10.0)
                return
            except grpc.aio.AioRpcError:
                assert time.monotonic() < deadline, (self._folder / "server.log").read_text()[
                    -2000:
                ]
                await asyncio.sleep(0.1)

    async def _stop(self, kill: bool) -> None:
        if self._server is not None and self._server.returncode is None:
            (self._server.kill if kill else self._server.terminate)()
            await self._server.wait()

    async def _change(self) -> None:
        """Publish upserts and deletions, some for items that are the release's own."""
        order = 0
        while not self._over:
            release = self._random.choice(self._releases)
            order += 1
            own = release.catalogue.item_ids
            name = self._random.choice(
                [own[self._random.randrange(len(own))], f"new-{self._random.randrange(60)}"]
            )
            if self._random.random() < 0.35:
                change = Change(name, None, order=order)
            else:
                change = new_state(
                    name,
                    self._random.choice(["Red", "Blue", "Mauve", None]),
                    self._random.choice([5.0, 15.0, 25.0, None]),
                    self._random.random() < 0.8,
                    seed=order,
                    order=order,
                )
            record = change_to_proto(change, release.id).SerializeToString()
            self._truth.publishing(release.id, change)
            began = time.monotonic()
            await self._log.publish(VECTORS_TOPIC, record_key(release.id, name), record)
            self._ended(began)
            self.report.changes += 1
            await asyncio.sleep(0.005)

    async def _disturb(self, stub: RetrievalServiceStub) -> None:
        """Kill and start again, stop and start again, change the release."""
        while not self._over:
            await asyncio.sleep(self._random.uniform(0.5, 2.0))
            what = self._random.choice(["kill", "stop", "flip", "flip", "flip"])
            if what == "flip":
                release = self._random.choice(self._releases)
                with contextlib.suppress(grpc.aio.AioRpcError):
                    await stub.LoadRelease(pb.LoadReleaseRequest(release=release.id), timeout=10.0)
                    self.report.flips += 1
            else:
                await self._stop(kill=what == "kill")
                self.report.kills += 1
                await self._start(stub)

    def _ended(self, began: float) -> None:
        now = time.monotonic()
        self._took.append((now, now - began))

    def _seen_within_s(self) -> float:
        """SEEN_WITHIN_S, and more while all takes long."""
        recent = time.monotonic() - SLOWER_FOR_S
        return SEEN_WITHIN_S + 3 * max((s for ended, s in self._took if ended > recent), default=0)

    async def _search(self, stub: RetrievalServiceStub, number: int) -> None:
        chance = random.Random(number)
        rng = np.random.default_rng(number)
        while not self._over:
            release = chance.choice(self._releases)
            condition = chance.choice(FILTERS)
            query = normalise(rng.normal(size=CLIP_DIM))
            k = chance.choice([5, 40, 200])
            message = pb.VectorQuery(
                space=pb.VECTOR_SPACE_CONTENT,
                vector=pack_f32(query),
                dim=CLIP_DIM,
                k=k,
                filter=filter_to_proto(condition),
            )
            request = pb.RetrievalServiceSearchRequest(release=release.id, queries=[message])
            asked = time.monotonic()
            try:
                response = await stub.Search(request, timeout=5.0)
            except grpc.aio.AioRpcError as error:
                self.report.refused[error.code().name] += 1
                await asyncio.sleep(0.05)
                continue
            self._ended(asked)
            hits = response.hits[0]
            scores = np.frombuffer(hits.scores, "<f4").tolist()
            found = dict(zip(hits.item_ids, scores, strict=True))
            self.report.searches += 1
            self.report.results += len(found)
            since, answered = asked - self._seen_within_s(), time.monotonic()
            problems = self._truth.problems(release.id, query, condition, k, found, since, answered)
            if response.release != release.id or len(found) < len(hits.item_ids):
                problems.append(f"release {response.release}: an item twice, or another release")
            self.report.problems += problems[: 20 - len(self.report.problems)]
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def soaked(seconds: float, seed: int, defect: str = "none") -> AsyncIterator[Report]:
    """The report of a soak in a folder of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield await Soak(Path(folder), seconds, seed, defect).run()


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--defect", default="none", help="see soak_server.py")
    args = parser.parse_args()
    async with soaked(args.seconds, args.seed, args.defect) as report:
        print(json.dumps(vars(report) | {"refused": dict(report.refused)}, indent=2))
        return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
