"""The statistics of `hemline bench`: arrivals, latency from the schedule, processor time."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from dataclasses import replace

import grpc
import grpc.aio
import numpy as np
import psutil
import pytest

from hemline.bench.arrivals import Zipf, poisson_schedule
from hemline.bench.cpu import CpuReading, cpu_use, one_server, read_cpu
from hemline.bench.latency import Calls, figures, latency_of
from hemline.bench.load import Requests, closed_loop, open_loop, precise_loop
from hemline.bench.phases import read_answers
from hemline.bench.serve import Rate
from hemline.cli.bench import read_rates, read_shoppers
from hemline.errors import InvalidInputError
from hemline.v1 import common_pb2, recommender_pb2
from jumping_clock import run_with_jumping_clock

SERVICE_S = 0.02


class OneAtATime:
    """A server that needs SERVICE_S for each request and does one after the other.

    Its n-th call waits `stall_s` more; calls from the `refuse_from`-th on are refused at once.
    """

    def __init__(self, stalled: int = -1, stall_s: float = 0.0, refuse_from: int = 10**9) -> None:
        self._free = asyncio.Lock()
        self._stalled, self._stall_s, self._refuse_from = stalled, stall_s, refuse_from
        self.asked: list[bytes] = []

    async def __call__(self, request: bytes) -> bytes:
        place = len(self.asked)
        self.asked.append(request)
        if place >= self._refuse_from:
            none = grpc.aio.Metadata()
            raise grpc.aio.AioRpcError(grpc.StatusCode.RESOURCE_EXHAUSTED, none, none)
        async with self._free:
            await asyncio.sleep(SERVICE_S + (self._stall_s if place == self._stalled else 0.0))
        return b"answer to " + request


def requests(n: int) -> Requests:
    return Requests([b"%d" % number for number in range(n)])


# -- arrivals -------------------------------------------------------------------------------------


def test_poisson_arrivals_have_their_rate_and_exponential_gaps() -> None:
    times = poisson_schedule(200.0, 100.0, np.random.default_rng(5))
    assert abs(len(times) - 20_000) < 5 * np.sqrt(20_000)
    assert np.all(np.diff(times) >= 0) and times[0] >= 0 and times[-1] < 100
    gaps = np.diff(times)
    assert gaps.mean() == pytest.approx(1 / 200, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)  # as of an exponential distribution
    assert (gaps > 2 / 200).mean() == pytest.approx(np.exp(-2), rel=0.1)


def test_arrivals_in_disjoint_seconds_are_independent() -> None:
    times = poisson_schedule(50.0, 400.0, np.random.default_rng(6))
    counts = np.bincount(times.astype(int), minlength=400)
    assert counts.var() == pytest.approx(counts.mean(), rel=0.25)
    assert abs(np.corrcoef(counts[:-1], counts[1:])[0, 1]) < 0.15


@pytest.mark.parametrize(("rate", "seconds"), [(0, 1), (-1, 1), (10, 0), (float("nan"), 1)])
def test_a_rate_without_arrivals_is_refused(rate: float, seconds: float) -> None:
    with pytest.raises(ValueError, match="no arrivals"):
        poisson_schedule(rate, seconds, np.random.default_rng(0))


def test_zipf_ranks_are_as_frequent_as_their_law_says() -> None:
    drawn = np.bincount(Zipf(50, 1.0, np.random.default_rng(3)).draw(200_000), minlength=50)
    assert len(drawn) == 50
    assert drawn[0] / drawn[1] == pytest.approx(2.0, rel=0.05)
    assert drawn[0] / drawn[9] == pytest.approx(10.0, rel=0.1)


# -- latency --------------------------------------------------------------------------------------


def test_percentiles_are_latencies_that_occurred() -> None:
    of_a_thousand = latency_of(np.arange(1, 1001) / 1000)
    assert of_a_thousand.count == 1000
    assert (of_a_thousand.p50_ms, of_a_thousand.p90_ms) == (500, 900)
    assert (of_a_thousand.p99_ms, of_a_thousand.p999_ms) == (990, 999)
    assert of_a_thousand.max_ms == 1000
    assert latency_of(np.array([0.004])).p999_ms == 4
    assert latency_of(np.zeros(0)).count == 0


def test_latency_counts_from_when_a_call_was_due_not_from_when_it_was_sent() -> None:
    due, sent = np.array([0.0, 1.0]), np.array([0.0, 1.5])
    load = figures(Calls(due, sent, np.array([0.01, 1.51]), ("OK", "OK")))
    assert load.answered.p50_ms == pytest.approx(10)
    assert load.answered.max_ms == pytest.approx(510)
    assert load.send_lag_p99_ms == pytest.approx(500)


def test_failed_calls_are_counted_by_code_and_kept_out_of_the_latency() -> None:
    due = np.zeros(4)
    done = np.array([0.010, 0.020, 0.001, 2.0])
    codes = ("OK", "OK", "RESOURCE_EXHAUSTED", "DEADLINE_EXCEEDED")
    load = figures(Calls(due, due, done, codes))
    assert load.answered.count == 2 and load.answered.max_ms == 20
    assert load.failed["RESOURCE_EXHAUSTED"].p50_ms == 1
    assert load.failed["DEADLINE_EXCEEDED"].max_ms == 2000
    assert load.failed_share == 0.5
    assert load.answered_per_s == 1.0  # two answers in the two seconds until the last call ended


def test_figures_of_no_call_are_refused() -> None:
    none = np.zeros(0)
    with pytest.raises(ValueError, match="no call"):
        figures(Calls(none, none, none, ()))


# -- open and closed loop -------------------------------------------------------------------------


def test_an_open_loop_shows_the_queue_that_a_closed_loop_hides() -> None:
    schedule = np.arange(20) * SERVICE_S / 4  # four times as fast as the server can
    open_calls = run_with_jumping_clock(open_loop(OneAtATime(), requests(20), schedule))
    last = open_calls.done[-1] - open_calls.due[-1]
    # The last request was due at 19 x 5 ms and done, after all others, at 20 x 20 ms.
    assert last == pytest.approx(20 * SERVICE_S - schedule[-1])
    closed = run_with_jumping_clock(
        closed_loop(OneAtATime(), requests(20), in_flight=1, seconds=19.9 * SERVICE_S)
    )
    assert len(closed.done) == 20
    assert figures(closed).answered.p50_ms == pytest.approx(SERVICE_S * 1000)
    assert figures(open_calls).answered.p50_ms > 4 * figures(closed).answered.p50_ms


def test_requests_that_were_due_during_a_stall_are_charged_with_it() -> None:
    schedule = np.arange(30) * 2 * SERVICE_S
    stalled = OneAtATime(stalled=10, stall_s=0.3)
    calls = run_with_jumping_clock(open_loop(stalled, requests(30), schedule))
    waited = np.flatnonzero(calls.done - calls.due > 0.1)
    assert waited[0] == 10 and len(waited) >= 5  # not the one call alone
    assert figures(calls).send_lag_p99_ms < 0.001  # the stall did not stop the sender


def test_refused_calls_are_answers_too() -> None:
    schedule = np.arange(10) * SERVICE_S * 2
    calls = run_with_jumping_clock(open_loop(OneAtATime(refuse_from=7), requests(10), schedule))
    assert calls.codes == ("OK",) * 7 + ("RESOURCE_EXHAUSTED",) * 3
    assert len(calls.answers) == 7


def test_each_request_is_asked_once_before_any_is_asked_again() -> None:
    server, supply = OneAtATime(), requests(5)
    run_with_jumping_clock(open_loop(server, supply, np.arange(8) * 0.001))
    assert server.asked == [b"0", b"1", b"2", b"3", b"4", b"0", b"1", b"2"]
    assert (supply.taken, supply.repeated) == (8, 3)


def test_the_loop_of_the_sender_wakes_in_time() -> None:
    async def late_s() -> float:
        loop, late = asyncio.get_running_loop(), []
        for _ in range(20):
            due = loop.time() + 0.0015  # epoll would round this up to 2 ms
            await asyncio.sleep(due - loop.time())
            late.append(loop.time() - due)
        return float(np.min(late))

    # Of some rounds the best: a machine with other things to do is late in most of them.
    with asyncio.Runner(loop_factory=precise_loop) as runner:
        best = min(runner.run(late_s()) for _ in range(20))
    assert best < 0.0004


# -- processor time -------------------------------------------------------------------------------

BEFORE = CpuReading(
    at=100.0,
    servers={"gateway": 10.0, "triton": 50.0},
    pids={"gateway": frozenset({1}), "triton": frozenset({2, 3})},
    client=1.0,
    machine=1000.0,
)


def test_processor_time_is_shared_out_among_the_requests_answered() -> None:
    after = replace(
        BEFORE, at=110.0, servers={"gateway": 13.0, "triton": 51.0}, client=2.0, machine=1007.0
    )
    use = cpu_use(BEFORE, after, requests=2000)
    assert use.ms_per_request == 2.0
    assert use.ms_per_request_by_process == {"gateway": 1.5, "triton": 0.5}
    assert (use.server_share, use.client_share, use.elsewhere_share) == (0.4, 0.1, 0.2)
    assert use.replaced == ()
    assert cpu_use(BEFORE, after, requests=0).ms_per_request == 0.0


def test_a_server_that_was_started_again_meanwhile_is_named() -> None:
    after = replace(
        BEFORE,
        at=110.0,
        servers={"gateway": 0.5, "triton": 51.0},
        pids={"gateway": frozenset({9}), "triton": frozenset({2, 3})},
    )
    use = cpu_use(BEFORE, after, requests=100)
    assert use.replaced == ("gateway",)
    assert use.ms_per_request_by_process["gateway"] == 0.0


def test_what_a_server_forked_counts_with_it() -> None:
    spin = "import time; t=time.process_time()\nwhile time.process_time()-t < .3: pass\n"
    told = f"input()\n{spin}input()"
    fork = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {told!r}])"
    with subprocess.Popen([sys.executable, "-c", fork], stdin=subprocess.PIPE) as server:
        try:
            find = one_server("server", server.pid)
            while not psutil.Process(server.pid).children():
                pass
            before = read_cpu(find)
            assert server.stdin is not None
            server.stdin.write(b"\n")  # now it works
            server.stdin.flush()
            while read_cpu(find).servers["server"] - before.servers["server"] < 0.25:
                assert server.poll() is None
            use = cpu_use(before, read_cpu(find), requests=100)
            assert 2.4 < use.ms_per_request < 10
        finally:
            server.communicate(b"\n")


# -- answers and flags ----------------------------------------------------------------------------


def answer(candidates: int, degraded: str = "") -> bytes:
    info = common_pb2.AnswerInfo(release="r0001", candidates=candidates, personal=True)
    if degraded:
        info.degraded.add(stage=degraded)
    items = [common_pb2.ScoredItem(score=1.0)] * 2
    return recommender_pb2.RecommendResponse(info=info, items=items).SerializeToString()


def test_a_sample_of_answers_tells_whether_the_server_did_all_its_work() -> None:
    sample = read_answers([answer(310), answer(290, "retrieval"), answer(400)], k=2)
    assert sample is not None
    assert (sample.candidates_min, sample.candidates_median) == (290, 310)
    assert (sample.answers, sample.whole, sample.personal, sample.degraded) == (3, 3, 3, 1)
    assert sample.degraded_stages == {"retrieval": 1}
    short = read_answers([answer(310)], k=20)
    assert short is not None and short.whole == 0
    assert read_answers([], k=2) is None


def test_rates_are_shares_of_the_peak_or_requests_per_second() -> None:
    assert read_rates("25%, 200,0.5%") == (Rate(0.25, True), Rate(200, False), Rate(0.005, True))


@pytest.mark.parametrize("text", ["", "fast", "-5", "0%", "10%%", "nan", "25%,,50%"])
def test_a_rate_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="neither requests/s"):
        read_rates(text)


@pytest.mark.parametrize("text", ["0", "20-5", "many", "-3", ""])
def test_a_history_length_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="events-per-user"):
        read_shoppers(10, text)
