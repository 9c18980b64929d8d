"""User states: their record, and the embedded store through the contract and on a bad disk."""

from __future__ import annotations

import random
import sqlite3
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from contracts.user_state_contract import StoreTarget, UserStatesContract, full_state
from hemline.errors import UnavailableError
from hemline.event_log import Position
from hemline.sqlite_database import FileLock
from hemline.sqlite_user_state import SqliteUserStates
from hemline.user_state import (
    ImportedHistory,
    Interaction,
    UnreadableStateError,
    UserState,
    UserVector,
    decode_user_state,
    encode_user_state,
    event_hash,
    user_hash,
)
from hemline.v1 import user_state_pb2 as pb


class TestSqliteUserStates(UserStatesContract):
    @pytest.fixture
    def target(self, tmp_path: Path) -> StoreTarget:
        return StoreTarget(
            "hemline.sqlite_user_state:SqliteUserStates", str(tmp_path / "users" / "db")
        )


texts = st.text(max_size=20)
times = st.integers(-(2**63), 2**63 - 1)
vectors = hnp.arrays(
    np.float32, st.integers(1, 8), elements=st.floats(width=32).filter(np.isfinite)
)
user_states = st.builds(
    UserState,
    user_id=texts,
    version=st.integers(0, 2**53),
    history=st.lists(st.builds(Interaction, texts, texts, times), max_size=6).map(tuple),
    recent_event_ids=st.lists(st.integers(0, 2**64 - 1), max_size=6).map(tuple),
    applied=st.none() | st.builds(Position, st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1)),
    imported=st.none()
    | st.builds(
        ImportedHistory,
        encoder_id=texts,
        vector=vectors,
        weight=st.floats(allow_nan=False),
        items=st.integers(0, 2**32 - 1),
        imported_ms=times,
    ),
    vector=st.none() | st.builds(UserVector, texts, vectors),
    lineage=st.integers(0, 2**64 - 1),
)


@given(user_states)
def test_a_state_survives_its_record(state: UserState) -> None:
    decoded = decode_user_state(state.user_id, state.version, encode_user_state(state))
    assert decoded == state
    if decoded.vector is not None:
        assert decoded.vector.vector.dtype == np.float32


@given(st.binary(max_size=60))
def test_bytes_that_are_no_record_are_never_taken_for_an_empty_state(data: bytes) -> None:
    with pytest.raises(UnreadableStateError, match=user_hash("ann")):
        decode_user_state("ann", 1, data)


@given(st.integers(0, 10_000))
def test_a_record_cut_short_is_unreadable_or_shorter_never_another_users(cut: int) -> None:
    record = encode_user_state(full_state("ann"))
    try:
        state = decode_user_state("ann", 1, record[: cut % len(record)])
    except UnreadableStateError:
        return
    assert state.user_id == "ann" and state != replace(full_state("ann"), version=1)


def test_states_with_different_vectors_differ() -> None:
    one = UserState("ann", vector=UserVector("r", np.array([1, 0], np.float32)))
    assert one == UserState("ann", vector=UserVector("r", np.array([1, 0], np.float32)))
    assert one != UserState("ann", vector=UserVector("r", np.array([0, 1], np.float32)))
    assert one != UserState("ann")


def test_a_seen_event_is_recognised() -> None:
    state = UserState("ann", recent_event_ids=(event_hash("e1"), event_hash("e2")))
    assert state.seen_event("e1") and state.seen_event("e2") and not state.seen_event("e3")


def test_hashes_are_blake2b_and_stay_so_for_they_are_stored() -> None:
    assert event_hash("e1") == 0x1B5D5E51F54F0F04  # printf e1 | b2sum -l 64
    assert user_hash("ann") == "d8963d899008cf8c05369be7b9042715"  # printf ann | b2sum -l 128


def damage(path: Path, user_id: str, record: bytes) -> None:
    connection = sqlite3.connect(path)
    changed = connection.execute(
        "UPDATE users SET record = ? WHERE user_hash = ?",
        (record, bytes.fromhex(user_hash(user_id))),
    )
    assert changed.rowcount == 1
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (b"", "schema 0"),
        (b"\xff\xff garbage", "pars"),
        (pb.StoredUserState(schema_version=2, user_id="ann").SerializeToString(), "schema 2"),
        (encode_user_state(UserState("bob")), f"belongs to user {user_hash('bob')}"),
        (
            pb.StoredUserState(
                schema_version=1, user_id="ann", vector=pb.StoredUserVector(vector=b"12345")
            ).SerializeToString(),
            "vector",
        ),
        (
            pb.StoredUserState(
                schema_version=1, user_id="ann", history=pb.StoredHistory(item_ids=["i"])
            ).SerializeToString(),
            "shorter",
        ),
        (
            pb.StoredUserState(
                schema_version=1,
                user_id="ann",
                history=pb.StoredHistory(item_ids=["i"], kinds=[7], occurred_ms=[1]),
            ).SerializeToString(),
            "range",
        ),
    ],
)
async def test_a_damaged_record_is_named_and_left_alone(
    tmp_path: Path, record: bytes, reason: str
) -> None:
    states = SqliteUserStates(tmp_path / "db")
    await states.compare_and_set([UserState("ann"), UserState("bob")])
    damage(tmp_path / "db", "ann", record)
    for _ in range(2):
        with pytest.raises(UnreadableStateError, match=reason) as caught:
            await states.get("ann")
        assert caught.value.user_hash == user_hash("ann") and user_hash("ann") in str(caught.value)
        with pytest.raises(UnreadableStateError):
            await states.get_many(["bob", "ann"])
    assert await states.compare_and_set([UserState("ann", 0)]) == [False]
    assert await states.get("bob") == UserState("bob", 1)
    assert await states.erase("ann")
    assert await states.get("ann") is None
    await states.close()


def contents(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


async def test_no_byte_of_an_erased_user_is_left_in_any_file(tmp_path: Path) -> None:
    states = SqliteUserStates(tmp_path / "db")
    chance = random.Random(5)
    versions = dict.fromkeys((f"secret-{n}-person" for n in range(40)), 0)
    for _ in range(600):  # grow and shrink records, so that SQLite moves them from page to page
        user = chance.choice(list(versions))
        whole = full_state(user, f"{user}-mark")
        state = replace(
            whole,
            version=versions[user],
            history=whole.history[: chance.choice([0, 1, 10, 60, 200])],
            recent_event_ids=whole.recent_event_ids[: chance.choice([0, 5, 512])],
        )
        assert await states.compare_and_set([state]) == [True]
        versions[user] += 1
    erased, kept = list(versions)[::2], list(versions)[1::2]
    before = b"".join(contents(tmp_path).values())
    assert all(user.encode() in before for user in versions)
    for user in erased:
        assert await states.erase(user) is True
    files = contents(tmp_path)
    left = [(u, name) for u in erased for name, data in files.items() if u.encode() in data]
    assert left == []
    assert all(any(user.encode() in data for data in files.values()) for user in kept)
    await states.close()


async def test_an_erasure_that_leaves_traces_is_not_acknowledged(tmp_path: Path) -> None:
    states = SqliteUserStates(tmp_path / "db", timeout_s=0.05)
    await states.compare_and_set([full_state("secret-person")])
    reader = sqlite3.connect(tmp_path / "db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM users").fetchone()  # holds on to the old write-ahead log
    with pytest.raises(UnavailableError, match="in use"):
        await states.erase("secret-person")
    reader.execute("COMMIT")
    reader.close()
    await states.erase("secret-person")
    assert not any(b"secret-person" in data for data in contents(tmp_path).values())
    await states.close()


async def test_a_write_that_cannot_be_made_is_reported_and_changes_nothing(tmp_path: Path) -> None:
    states = SqliteUserStates(tmp_path / "db", timeout_s=0.05, max_bytes=100_000)
    await states.compare_and_set([UserState("ann")])
    many = [UserState("ann", 1), *(full_state(f"user-{n}") for n in range(40))]
    with pytest.raises(UnavailableError, match="full"):
        await states.compare_and_set(many)
    lock = FileLock(tmp_path / "db.lock")
    with lock.held(60.0), pytest.raises(UnavailableError, match="held by others"):
        await states.compare_and_set([UserState("ann", 1)])
    assert await states.get("ann") == UserState("ann", 1)
    assert await states.get("user-0") is None
    assert await states.compare_and_set([UserState("ann", 1)]) == [True]
    await states.close()
    lock.close()
