"""A phase of `hemline bench serve`: calls in a closed or open loop, what they took and cost.

Every phase begins with a warm-up that is not counted, and ends when its last call has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from hemline.bench.arrivals import poisson_schedule
from hemline.bench.cpu import CpuUse, Families, cpu_use, read_cpu
from hemline.bench.latency import Calls, LoadFigures, figures
from hemline.bench.load import Call, Requests, closed_loop, open_loop
from hemline.errors import HemlineError
from hemline.v1 import recommender_pb2

WARM_UP_S = 1.0
_IN_FLIGHT = (1, 2, 4, 8, 16, 32, 64, 128)
_WORTH_MORE_CALLERS = 1.03
_FEW_FAILED = 0.01
_MOST_WITHOUT_GAIN = 2


@dataclass(frozen=True)
class AnswerSample:
    """Some answers of a phase, read in full: did the server do all of its work?"""

    answers: int
    whole: int  # as many items as asked for
    personal: int
    degraded: int
    degraded_stages: dict[str, int]
    candidates_min: int
    candidates_median: int
    releases: tuple[str, ...]


@dataclass(frozen=True)
class Phase:
    """name: for people. cpu: None where the servers are not on this machine. in_flight: callers, 0
    where calls came by a schedule."""

    name: str
    load: LoadFigures
    cpu: CpuUse | None
    sample: AnswerSample | None = None
    in_flight: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether all but a few of its calls were answered."""
        return self.load.failed_share <= _FEW_FAILED


@dataclass(frozen=True)
class Bench:
    """Phases against one server."""

    seconds: float  # of a phase
    k: int  # items an answer
    call: Call
    requests: Requests
    servers: Callable[[], Families] | None
    rng: np.random.Generator
    say: Callable[[str], None]
    reads_answers: bool = True

    async def rising(self) -> list[Phase]:
        """One caller, then ever more of them, until two steps in turn brought nothing, or calls
        are refused: that is beyond the peak, and refusals cost what answers could have."""
        phases: list[Phase] = []
        best, without_gain = 0.0, 0
        for in_flight in _IN_FLIGHT:
            name = f"{in_flight} in flight" if in_flight > 1 else "alone"
            phases.append(await self.closed(name, in_flight))
            rate = phases[-1].load.answered_per_s
            without_gain = 0 if rate > best * _WORTH_MORE_CALLERS else without_gain + 1
            best = max(best, rate)
            if without_gain == _MOST_WITHOUT_GAIN or not phases[-1].is_whole:
                break
        return phases

    async def closed(self, name: str, in_flight: int, share: float = 0.5) -> Phase:
        """So many callers, each asking again as soon as it has its answer.

        share: of `seconds`; a second at least.
        """
        seconds = max(1.0, self.seconds * share)
        work = partial(closed_loop, self.call, self.requests, in_flight, seconds)
        return replace(await self._phase(name, work), in_flight=in_flight)

    async def open(self, name: str, rate_per_s: float, share: float = 1.0) -> Phase:
        """Poisson arrivals at a rate. share: of `seconds`."""
        seconds = self.seconds * share

        async def offer(seconds: float) -> Calls:
            schedule = poisson_schedule(rate_per_s, seconds, self.rng)
            return await open_loop(self.call, self.requests, schedule)

        if rate_per_s * seconds < 10:
            raise HemlineError(
                f"{name}: {rate_per_s:.1f} requests/s for {seconds:g} s are too few to "
                "measure; give more --seconds or a higher rate"
            )
        await offer(max(WARM_UP_S, 10 / rate_per_s))
        return await self._phase(name, lambda: offer(seconds))

    async def _phase(self, name: str, work: Callable[[], Awaitable[Calls]]) -> Phase:
        before = read_cpu(self.servers) if self.servers else None
        calls = await work()
        load = figures(calls)
        cpu = None
        if self.servers and before:
            cpu = cpu_use(before, read_cpu(self.servers), load.answered.count)
        sample = read_answers(calls.answers, self.k) if self.reads_answers else None
        self.say(_line(name, load, cpu))
        return Phase(name, load, cpu, sample)


def read_answers(answers: Sequence[bytes], k: int) -> AnswerSample | None:
    """What serialised RecommendResponses say of themselves; None of none."""
    if not answers:
        return None
    read = [recommender_pb2.RecommendResponse.FromString(answer) for answer in answers]
    candidates = sorted(answer.info.candidates for answer in read)
    stages = Counter(skipped.stage for answer in read for skipped in answer.info.degraded)
    return AnswerSample(
        answers=len(read),
        whole=sum(len(answer.items) == k for answer in read),
        personal=sum(answer.info.personal for answer in read),
        degraded=sum(bool(answer.info.degraded) for answer in read),
        degraded_stages=dict(stages.most_common()),
        candidates_min=candidates[0],
        candidates_median=candidates[len(candidates) // 2],
        releases=tuple(sorted({answer.info.release for answer in read})),
    )


def ratio(value: float, base: float) -> float:
    """Rounded; 0 where there is nothing to compare with."""
    return round(value / base, 3) if base else 0.0


def _line(name: str, load: LoadFigures, cpu: CpuUse | None) -> str:
    cost = f", {cpu.ms_per_request:.2f} CPU-ms each" if cpu else ""
    failed = f", {load.failed_share:.1%} failed" if load.failed else ""
    return (
        f"{name}: {load.answered_per_s:,.0f} answers/s, p50 {load.answered.p50_ms:.2f} ms, "
        f"p99 {load.answered.p99_ms:.2f} ms{cost}{failed}"
    )
