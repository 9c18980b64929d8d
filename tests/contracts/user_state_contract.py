"""What every user state store promises, as tests: the embedded store and Redis run the same ones.

A test class inherits `UserStatesContract` and gives it a `target` fixture. Other processes are
real: they run this module as a programme and are killed for real.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import pytest

from hemline.errors import InvalidInputError, UnavailableError
from hemline.event_log import Position
from hemline.lineage import Lineage, Progress
from hemline.user_state import (
    MAX_HISTORY,
    MAX_RECENT_EVENTS,
    ImportedHistory,
    Interaction,
    UserState,
    UserStates,
    UserVector,
    event_hash,
)

PATIENCE_S = 90.0


@dataclass(frozen=True)
class StoreTarget:
    """How any process opens a client of the store under test: `factory` is "module:callable"."""

    factory: str
    location: str

    def open(self) -> UserStates:
        module, name = self.factory.split(":")
        return cast(UserStates, getattr(importlib.import_module(module), name)(self.location))

    @contextmanager
    def process(self, *job: str) -> Iterator[subprocess.Popen[str]]:
        """Runs a job of `main` below in a process of its own, killed when the block ends."""
        command = [sys.executable, "-m", __name__, self.factory, self.location, *job]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            try:
                yield process
            finally:
                process.kill()


def full_state(user_id: str, mark: str = "item") -> UserState:
    """A state with every field in use and as large as it gets."""
    rng = np.random.default_rng(3)
    return UserState(
        user_id,
        history=tuple(
            Interaction(
                f"{mark}-{n}", ("view", "purchase", "dislike")[n % 3], 1_700_000_000_000 + n
            )
            for n in range(MAX_HISTORY)
        ),
        recent_event_ids=tuple(event_hash(f"{mark}-{n}") for n in range(MAX_RECENT_EVENTS)),
        applied=Position(0, 0),
        imported=ImportedHistory(
            f"clip-{mark}", rng.standard_normal(256, np.float32), 12.5, 4, 1_700_000_000_000
        ),
        vector=UserVector(f"release-{mark}", rng.standard_normal(64, np.float32)),
        lineage=2**63 - 1,
    )


class UserStatesContract:
    @pytest.fixture
    def target(self) -> StoreTarget:
        raise NotImplementedError("the class that inherits the contract says what it tests")

    @pytest.fixture
    def user(self) -> str:
        return f"user-{uuid.uuid4().hex}"

    @pytest.fixture
    async def states(self, target: StoreTarget) -> AsyncIterator[UserStates]:
        states = target.open()
        yield states
        await states.close()

    async def test_an_unknown_user_is_none_to_read_and_empty_to_change(
        self, states: UserStates, user: str
    ) -> None:
        assert await states.get(user) is None
        assert await states.get_many([user]) == {user: UserState(user, version=0)}
        assert await states.get_many([]) == {}

    async def test_a_state_comes_back_as_stored_one_version_later(
        self, target: StoreTarget, states: UserStates, user: str
    ) -> None:
        state = full_state(user)
        assert await states.compare_and_set([state]) == [True]
        assert await states.get(user) == replace(state, version=1)
        assert await states.get_many([user]) == {user: replace(state, version=1)}

        other_client = target.open()
        assert await other_client.get(user) == replace(state, version=1)
        await other_client.close()

    async def test_a_user_of_whom_nothing_is_known_yet_can_be_stored(
        self, states: UserStates, user: str
    ) -> None:
        assert await states.compare_and_set([UserState(user)]) == [True]
        assert await states.get(user) == UserState(user, version=1)

    async def test_only_the_stored_version_can_be_replaced(
        self, states: UserStates, user: str
    ) -> None:
        first = UserState(user, applied=Position(0, 1))
        assert await states.compare_and_set([first]) == [True]
        for version in (0, 2, 99):
            stale = UserState(user, version, applied=Position(0, 2))
            assert await states.compare_and_set([stale]) == [False]
        assert await states.get(user) == replace(first, version=1)
        assert await states.compare_and_set([UserState(user, 1)]) == [True]
        assert await states.get(user) == UserState(user, 2)

    async def test_a_version_of_a_user_never_stored_does_not_fit(
        self, states: UserStates, user: str
    ) -> None:
        assert await states.compare_and_set([UserState(user, version=3)]) == [False]
        assert await states.get(user) is None

    async def test_states_of_one_call_stand_or_fall_one_by_one(
        self, states: UserStates, user: str
    ) -> None:
        users = [f"{user}-{n}" for n in range(300)]
        assert await states.compare_and_set([UserState(u) for u in users[::2]]) == [True] * 150
        written = await states.compare_and_set([UserState(u) for u in users])
        assert written == [False, True] * 150
        assert [state.version for state in (await states.get_many(users)).values()] == [1] * 300
        twice = [UserState(user, 0), UserState(user, 0)]
        assert await states.compare_and_set(twice) == [True, False]
        assert await states.compare_and_set([]) == []

    async def test_a_state_that_could_not_be_read_back_is_refused_with_its_whole_call(
        self, states: UserStates, user: str
    ) -> None:
        click = Interaction("item", "click", 0)
        nan = np.array([np.nan], np.float32)
        for bad in (
            UserState(user, history=(click,) * (MAX_HISTORY + 1)),
            UserState(user, recent_event_ids=(1,) * (MAX_RECENT_EVENTS + 1)),
            UserState(user, vector=UserVector("r", nan)),
            UserState(user, vector=UserVector("r", np.zeros(0, np.float32))),
            UserState(user, vector=UserVector("r", np.zeros((2, 2), np.float32))),
            UserState(user, history=(Interaction("item", "click", 2**63),)),
        ):
            with pytest.raises(ValueError):
                await states.compare_and_set([UserState(f"{user}-good"), bad])
        assert await states.get(f"{user}-good") is None

    @pytest.mark.parametrize(
        "user_id", ["", "пользователь-👗", "a\x00b", " ", "'; DROP TABLE users; --", "u" * 500_000]
    )
    async def test_any_text_is_a_user_id(self, states: UserStates, user: str, user_id: str) -> None:
        user_id = user_id and user + user_id
        assert await states.compare_and_set([UserState(user_id)]) == [True]
        assert await states.get(user_id) == UserState(user_id, 1)
        assert await states.erase(user_id)

    async def test_a_user_id_that_is_not_text_is_refused(self, states: UserStates) -> None:
        for call in (
            states.get("\ud800"),
            states.get_many(["\ud800"]),
            states.compare_and_set([UserState("\ud800")]),
            states.erase("\ud800"),
        ):
            with pytest.raises(InvalidInputError, match="user_id"):
                await call

    async def test_an_erased_user_is_unknown(self, states: UserStates, user: str) -> None:
        await states.compare_and_set([full_state(user), full_state(f"{user}-other")])
        assert await states.erase(user) is True
        assert await states.get(user) is None
        assert await states.erase(user) is False
        assert await states.get(f"{user}-other") is not None

    async def test_a_change_begun_before_the_erasure_cannot_bring_the_user_back(
        self, states: UserStates, user: str
    ) -> None:
        await states.compare_and_set([full_state(user)])
        before = await states.get(user)
        assert before is not None
        await states.erase(user)
        for late in (before, replace(before, version=0)):
            assert await states.compare_and_set([late]) == [False]
        assert await states.get(user) is None

    async def test_a_first_change_begun_before_the_erasure_fails_too(
        self, states: UserStates, user: str
    ) -> None:
        before = (await states.get_many([user]))[user]
        assert await states.erase(user) is False
        assert await states.compare_and_set([before]) == [False]
        assert await states.get(user) is None

    async def test_an_erased_user_can_start_afresh(
        self, target: StoreTarget, states: UserStates, user: str
    ) -> None:
        await states.compare_and_set([full_state(user)])
        await states.erase(user)
        reopened = target.open()
        fresh = (await reopened.get_many([user]))[user]
        assert abs(fresh.erased_ms - time.time() * 1000) < 60_000
        assert fresh == UserState(user, version=2, erased_ms=fresh.erased_ms)
        assert await reopened.compare_and_set([fresh]) == [True]
        assert await reopened.get(user) == replace(fresh, version=3), "the erasure is remembered"
        await reopened.close()

    async def test_a_new_store_has_no_lineage_and_takes_the_first(
        self, target: StoreTarget, states: UserStates
    ) -> None:
        await states.check()
        assert await states.progress() is None
        first = Lineage(2**62, "log-1", kept=(5, 2**61))
        assert await states.advance(first, {0: range(0, 7)}) is False
        assert await states.begin(first, instead_of=Lineage(3, "log-0")) is False
        assert await states.begin(first, instead_of=None) is True
        assert await states.begin(Lineage(4, "log-1"), instead_of=None) is False
        other_client = target.open()
        assert await other_client.progress() == Progress(first, {})
        await other_client.close()

    async def test_positions_move_on_together_and_never_back(self, states: UserStates) -> None:
        lineage = Lineage(1, "log")
        await states.begin(lineage, None)
        assert await states.advance(lineage, {0: range(0, 10), 11: range(0, 2**40)})
        assert await states.advance(lineage, {0: range(4, 8)}), "repeats are harmless"
        assert await states.progress() == Progress(lineage, {0: 10, 11: 2**40})
        assert not await states.advance(lineage, {0: range(10, 12), 11: range(2**40 + 1, 2**41)})
        assert not await states.advance(lineage, {3: range(1, 2)})
        assert await states.progress() == Progress(lineage, {0: 10, 11: 2**40})

    async def test_a_new_lineage_starts_at_the_first_record_and_leaves_the_states(
        self, states: UserStates, user: str
    ) -> None:
        old, new = Lineage(1, "log"), Lineage(2, "log-2", kept=(1,))
        await states.begin(old, None)
        await states.compare_and_set([UserState(user, lineage=1)])
        await states.advance(old, {0: range(0, 10)})
        assert await states.begin(new, instead_of=old)
        assert await states.progress() == Progress(new, {})
        assert await states.advance(old, {0: range(10, 11)}) is False
        assert await states.progress() == Progress(new, {})
        assert await states.get(user) == UserState(user, version=1, lineage=1)

    async def test_of_two_that_begin_a_lineage_one_does(self, states: UserStates) -> None:
        begun = await asyncio.gather(*(states.begin(Lineage(n, "log"), None) for n in (1, 2, 3)))
        progress = await states.progress()
        assert progress is not None
        assert [n for n, done in zip((1, 2, 3), begun, strict=True) if done] == [
            progress.lineage.id
        ]

    async def test_a_closed_store_says_so(self, target: StoreTarget, user: str) -> None:
        states = target.open()
        await states.compare_and_set([UserState(user)])
        await states.get(user)
        begun = asyncio.create_task(states.compare_and_set([UserState(f"{user}-2")]))
        await asyncio.sleep(0)
        await states.close()
        await states.close()
        assert await begun == [True]
        for call in (states.get(user), states.compare_and_set([UserState(user, 1)])):
            with pytest.raises(UnavailableError):
                await call

    async def test_processes_that_count_together_lose_no_update(
        self, target: StoreTarget, states: UserStates, user: str
    ) -> None:
        with (
            target.process("count", user, "60") as a,
            target.process("count", user, "60") as b,
            target.process("count", user, "60") as c,
        ):
            assert [p.wait(PATIENCE_S) for p in (a, b, c)] == [0, 0, 0]
        state = await states.get(user)
        assert state is not None
        assert (state.version, state.applied) == (180, Position(0, 180))

    async def test_no_acknowledged_state_is_lost_when_a_writer_is_killed(
        self, target: StoreTarget, user: str
    ) -> None:
        acked = 0
        for acks in (1, 57, 23):
            with target.process("count", user, "1000000") as process:
                assert process.stdout is not None
                for _ in range(acks):
                    acked = int(process.stdout.readline())
                process.kill()
                acked = max([acked, *(int(x) for x in process.stdout if x.endswith("\n"))])
            states = target.open()
            state = await states.get(user)
            await states.close()
            assert state is not None and state.applied is not None
            assert state.applied.offset == state.version
            assert acked <= state.version <= acked + 1  # the last may lack its acknowledgement
            acked = state.version


async def main(factory: str, location: str, job: str, user: str, times: str) -> None:
    """count USER TIMES: adds one to the offset that often, printing every sum that was stored."""
    assert job == "count"
    states = StoreTarget(factory, location).open()
    done = 0
    while done < int(times):
        state = (await states.get_many([user]))[user]
        total = 1 + (state.applied.offset if state.applied else 0)
        [stored] = await states.compare_and_set([replace(state, applied=Position(0, total))])
        if stored:
            done += 1
            os.write(1, f"{total}\n".encode())
    await states.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
