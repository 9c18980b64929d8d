"""A burst is let in, a standing queue is not, and waiting for a store is no queue."""

from __future__ import annotations

import heapq

import numpy as np
import pytest

from hemline.gate import BUSY_S, CALM_S, CROWD_S, FEW, FEW_WAITING, FEWER, LATE_S, STANDS_S, Gate

MOST = 24
SERVICE_S = 0.0024


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(MOST, clock=clock)


def fill(gate: Gate, calls: int) -> None:
    for _ in range(calls):
        assert gate.enter()


def is_busy(gate: Gate) -> None:
    for _ in range(50):
        gate.begins(3 * BUSY_S)


def test_a_burst_is_let_in_up_to_the_most_and_no_further(gate: Gate) -> None:
    fill(gate, MOST)
    assert not gate.enter()
    gate.leave()
    assert gate.enter() and not gate.enter()


def test_after_a_burst_that_was_too_large_no_more_than_a_few_are_let_in(gate: Gate) -> None:
    """Without waiting to see whether so many stand: the last of a full house waits long enough."""
    is_busy(gate)
    fill(gate, MOST)
    assert not gate.enter() and gate.limit == FEW
    for _ in range(MOST - FEW):
        gate.leave()
        assert not gate.enter()
    gate.leave()
    assert gate.enter() and not gate.enter()


def test_a_crowd_ends_when_nobody_was_refused_for_a_while_or_the_loop_has_nothing_to_do(
    gate: Gate, clock: Clock
) -> None:
    is_busy(gate)
    fill(gate, MOST)
    assert not gate.enter()
    clock.now += 0.9 * CROWD_S
    assert not gate.enter()
    clock.now += 0.9 * CROWD_S
    assert gate.limit == FEW
    for _ in range(100):
        gate.begins(CALM_S / 3)
    assert not gate.enter()
    clock.now += 0.2 * CROWD_S
    assert gate.limit == MOST


def test_of_a_burst_that_began_a_crowd_those_that_wait_for_long_are_refused(
    gate: Gate, clock: Clock
) -> None:
    is_busy(gate)
    fill(gate, MOST)
    assert gate.begins(2 * LATE_S)  # a burst, and no more than that
    assert not gate.enter()
    assert gate.begins(0.9 * LATE_S)
    assert not gate.begins(1.1 * LATE_S)
    clock.now += CROWD_S + 0.001
    assert gate.begins(1.1 * LATE_S)


def test_while_most_are_refused_fewer_still_are_let_in(gate: Gate, clock: Clock) -> None:
    is_busy(gate)
    fill(gate, MOST)
    fewer = int(FEWER * FEW)
    for _ in range(200):  # of them, one in ten
        clock.now += 0.001
        for _ in range(9):
            assert not gate.enter()
        if gate.inside >= fewer:
            gate.leave()
        gate.enter()
    assert (gate.limit, gate.inside) == (fewer, fewer)
    for _ in range(200):  # all
        gate.leave()
        assert gate.enter()
    assert gate.limit == FEW


def test_a_queue_that_stands_lets_in_no_more_than_a_few(gate: Gate, clock: Clock) -> None:
    is_busy(gate)
    fill(gate, FEW + 3)
    clock.now += STANDS_S + 0.001
    assert not gate.enter() and gate.limit == FEW
    for _ in range(3):
        gate.leave()
    assert not gate.enter()
    gate.leave()
    assert gate.enter() and not gate.enter()


def test_a_queue_that_empties_again_does_not_stand(gate: Gate, clock: Clock) -> None:
    is_busy(gate)
    for _ in range(10):
        fill(gate, FEW + 3)
        clock.now += 0.8 * STANDS_S
        for _ in range(FEW + 3):
            gate.leave()
    fill(gate, MOST)


def test_when_nothing_was_refused_for_a_while_bursts_are_let_in_again(
    gate: Gate, clock: Clock
) -> None:
    is_busy(gate)
    fill(gate, FEW)
    clock.now += STANDS_S + 0.001
    assert not gate.enter()
    gate.leave()
    clock.now += CROWD_S + 0.001
    assert gate.limit == MOST
    fill(gate, MOST - FEW + 1)


def test_calls_that_wait_for_a_log_and_not_for_the_processor_are_no_queue(
    gate: Gate, clock: Clock
) -> None:
    for _ in range(50):
        gate.begins(BUSY_S / 5)
    fill(gate, FEW)
    clock.now += 10 * STANDS_S
    fill(gate, MOST - FEW)
    assert not gate.enter()


def test_a_thousand_events_a_second_that_wait_for_the_log_are_let_in_by_a_busy_process(
    clock: Clock,
) -> None:
    gate = Gate(192, few=FEW_WAITING, clock=clock)
    is_busy(gate)
    fill(gate, 20)
    for _ in range(1000):  # each stays 20 ms
        clock.now += 0.001
        gate.leave()
        assert gate.enter()
    fill(gate, 192 - 20)
    clock.now += STANDS_S + 0.001
    assert not gate.enter() and gate.limit == FEW_WAITING


def test_a_gateway_that_is_nine_tenths_busy_refuses_less_than_one_in_a_hundred() -> None:
    refused, _ = simulated(load=0.9)
    assert refused < 0.01


def test_at_five_times_the_load_the_accepted_wait_hardly_longer() -> None:
    _, unloaded_s = simulated(load=0.25)
    refused, accepted_s = simulated(load=5)
    assert accepted_s <= 1.5 * unloaded_s
    assert refused == pytest.approx(0.8, abs=0.01)  # nor does it wait for calls


def simulated(load: float) -> tuple[float, float]:
    """Of Poisson arrivals over 30 s at one processor, in turn, the share refused and the 99th
    percentile of the seconds that the others took. load: offered, of what can be answered."""
    rng, clock = np.random.default_rng(1), Clock()
    gate = Gate(MOST, clock=clock)
    calls = int(30 * load / SERVICE_S)
    arrivals = clock.now + np.sort(rng.uniform(0, 30, calls))
    services = rng.gamma(8, SERVICE_S / 8, calls)
    due: list[tuple[float, float | None]] = []  # what happens when; None: a call leaves
    free_at, took = 0.0, []
    for arrival, service in zip(arrivals.tolist(), services.tolist(), strict=True):
        while due and due[0][0] <= arrival:
            clock.now, waited = heapq.heappop(due)
            gate.leave() if waited is None else gate.begins(waited)
        clock.now = arrival
        if gate.enter():
            begins = max(arrival + 0.0005, free_at)
            free_at = begins + service
            heapq.heappush(due, (begins, begins - arrival))
            heapq.heappush(due, (free_at + 0.001, None))
            took.append(free_at + 0.001 - arrival)
    return 1 - len(took) / calls, float(np.percentile(took, 99))
