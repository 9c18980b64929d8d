"""User states in Redis: one server, a master found by Sentinel, or a Redis Cluster.

    hemline:user:{HASH}     version, erased_ms (8 bytes each, little-endian), then the record;
                            no record: erased
    hemline:{lineage}       hash: id, log, kept, and at:PARTITION, see hemline.lineage
    hemline:schema          layout of all this

States change only in a Lua script that compares the version in the same step. Each state of a call
stands or falls alone, for in a cluster they lie on different servers.

The event log holds the truth. What Redis loses in a power cut (up to two seconds of writes with
`appendfsync everysec`), to a failover, or whole, the updater applies again; an erasure is not in
the log, so one acknowledged within those two seconds may be undone. In a Redis Cluster one master's
lost writes go unnoticed while the lineage lies on another: `hemline replay` repairs that. Erased
bytes leave the append-only file at its next rewrite.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from redis import exceptions
from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff

from hemline import metrics
from hemline.circuit_breaker import CircuitBreaker
from hemline.errors import SetupError, UnavailableError
from hemline.lineage import Lineage, Progress
from hemline.redis_url import PASSWORD, RedisAddress, read_redis_url
from hemline.user_state import (
    STATES_AWAY,
    UnreadableStateError,
    UserState,
    decode_user_state,
    encode_user_state,
    user_hash,
)

logger = logging.getLogger(__name__)
T = TypeVar("T")

SCHEMA = b"1"
SCHEMA_KEY = "hemline:schema"
LINEAGE_KEY = "hemline:{lineage}"
KEYS_PER_CALL = 100  # a script or MGET holds up everybody else while it runs
_VERSION = struct.Struct("<Q")
_HEAD = struct.Struct("<QQ")  # version, erased_ms

# For every key an expected version ("" for a user never stored) and the new value.
_COMPARE_AND_SET = """
local fits = {}
for i, key in ipairs(KEYS) do
  fits[i] = 0
  if redis.call('GETRANGE', key, 0, 7) == ARGV[2 * i - 1] then
    redis.call('SET', key, ARGV[2 * i])
    fits[i] = 1
  end
end
return fits
"""
# Leaves the next version and the time (ARGV) in the place of the state; 1 if there was a state.
_ERASE = """
local value = redis.call('GET', KEYS[1]) or ''
local version = value == '' and 0 or struct.unpack('<I8', value)
redis.call('SET', KEYS[1], struct.pack('<I8', version + 1) .. ARGV[1])
return #value > 16 and 1 or 0
"""
# ARGV: the lineage it takes the place of ("" for none), then the fields of the new one.
_BEGIN = """
if (redis.call('HGET', KEYS[1], 'id') or '') ~= ARGV[1] then return 0 end
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'id', ARGV[2], 'log', ARGV[3], 'kept', ARGV[4])
return 1
"""
# ARGV: the lineage, then partition, from, to. All or nothing; never back.
_ADVANCE = """
if redis.call('HGET', KEYS[1], 'id') ~= ARGV[1] then return 0 end
for i = 2, #ARGV, 3 do
  local at = tonumber(redis.call('HGET', KEYS[1], 'at:' .. ARGV[i]) or '0')
  if at < tonumber(ARGV[i + 1]) then return 0 end
end
for i = 2, #ARGV, 3 do
  local at = tonumber(redis.call('HGET', KEYS[1], 'at:' .. ARGV[i]) or '0')
  if at < tonumber(ARGV[i + 2]) then redis.call('HSET', KEYS[1], 'at:' .. ARGV[i], ARGV[i + 2]) end
end
return 1
"""
_SCRIPTS = (_COMPARE_AND_SET, _ERASE, _BEGIN, _ADVANCE)
_SHA = {script: hashlib.sha1(script.encode()).hexdigest() for script in _SCRIPTS}  # as Redis does


class RedisUserStates:
    """`hemline.user_state.UserStates` at a URL, see hemline.redis_url; connects when first used.

    read_timeout_s, write_timeout_s: of one call in all, waiting for a connection included.
    max_connections: to each server. Everything that fails becomes UnavailableError in `_call`.
    Raises InvalidInputError for a URL that cannot be one.
    """

    def __init__(
        self,
        url: str,
        *,
        read_timeout_s: float = 0.25,
        write_timeout_s: float = 2.0,
        max_connections: int = 32,
    ) -> None:
        self._address = read_redis_url(url)
        self._read_timeout_s = read_timeout_s
        self._write_timeout_s = write_timeout_s
        self._client, self._also_close = _client(self._address, max_connections)
        self._cluster = self._address.kind == "cluster"
        self._breaker = CircuitBreaker(
            str(self._address), metrics.USER_STATE_AWAY.set, public=STATES_AWAY
        )
        self._slots = asyncio.Semaphore(max_connections)
        self._max_connections = max_connections
        self._checking = asyncio.Lock()
        self._checked = False
        self._closed = False

    async def check(self) -> None:
        try:
            await self._call(self._check, self._write_timeout_s)
        except UnavailableError as error:
            if isinstance(error.__cause__, SetupError):
                raise error.__cause__ from error
            raise

    async def get(self, user_id: str) -> UserState | None:
        key = _key(user_id)
        value = await self._call(
            lambda: self._client.execute_command("GET", key), self._read_timeout_s
        )
        return None if value is None or len(value) == _HEAD.size else _state(user_id, value)

    async def get_many(self, user_ids: Sequence[str]) -> dict[str, UserState]:
        keys = [_key(user_id) for user_id in user_ids]
        if not keys:
            return {}
        values = await self._call(lambda: self._values(keys), self._write_timeout_s)
        return {u: _state(u, value) for u, value in zip(user_ids, values, strict=True)}

    async def compare_and_set(self, states: Sequence[UserState]) -> list[bool]:
        rows: list[tuple[str, bytes, bytes]] = []
        for state in states:
            key = _key(state.user_id)
            expected = _VERSION.pack(state.version) if state.version else b""
            head = _HEAD.pack(state.version + 1, state.erased_ms)
            rows.append((key, expected, head + encode_user_state(state)))
        if not rows:
            return []
        calls = []
        for part in _parts(rows, 1 if self._cluster else KEYS_PER_CALL):
            arguments = [value for _, expected, record in part for value in (expected, record)]
            calls.append((_COMPARE_AND_SET, [key for key, _, _ in part], arguments))
        answers = await self._call(lambda: self._run(calls), self._write_timeout_s)
        return [bool(fits) for answer in answers for fits in answer]

    async def erase(self, user_id: str) -> bool:
        return await self._said(_ERASE, _key(user_id), [_VERSION.pack(time.time_ns() // 1_000_000)])

    async def progress(self) -> Progress | None:
        fields: Mapping[bytes, bytes] = await self._call(
            lambda: self._client.hgetall(LINEAGE_KEY), self._write_timeout_s
        )
        if not fields:
            return None
        kept = tuple(int(id_) for id_ in fields[b"kept"].split())
        return Progress(
            Lineage(int(fields[b"id"]), fields[b"log"].decode(), kept),
            {int(n[3:]): int(at) for n, at in fields.items() if n.startswith(b"at:")},
        )

    async def begin(self, lineage: Lineage, instead_of: Lineage | None) -> bool:
        kept = " ".join(map(str, lineage.kept))
        before = instead_of.id if instead_of else ""
        return await self._said(_BEGIN, LINEAGE_KEY, [before, lineage.id, lineage.log, kept])

    async def advance(self, lineage: Lineage, steps: Mapping[int, range]) -> bool:
        arguments: list[int] = [lineage.id]
        for partition, applied in steps.items():
            arguments += [partition, applied.start, applied.stop]
        return await self._said(_ADVANCE, LINEAGE_KEY, arguments)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        for _ in range(self._max_connections):  # whoever has begun holds a slot, or waits for one
            await self._slots.acquire()
        for client in (self._client, *self._also_close):
            await client.aclose()

    async def _call(self, work: Callable[[], Awaitable[T]], timeout_s: float) -> T:
        """The one way to Redis: bounded in time and number, its errors mapped."""
        if self._closed:
            raise UnavailableError(
                f"the connection to {self._address} is closed", public=STATES_AWAY
            )
        self._breaker.check()
        async with self._mapped_errors(timeout_s), asyncio.timeout(timeout_s), self._slots:
            if not self._checked:
                await self._check()
            result = await work()
        self._breaker.succeeded()
        return result

    @asynccontextmanager
    async def _mapped_errors(self, timeout_s: float) -> AsyncIterator[None]:
        began = asyncio.get_running_loop().time()
        where = self._address
        try:
            yield
        except (TimeoutError, exceptions.TimeoutError) as error:
            raise self._away("timeout", f"no answer in {timeout_s:g} s", error) from error
        except asyncio.CancelledError:
            # The request's own deadline came first; Redis was slow all the same.
            if asyncio.get_running_loop().time() - began > timeout_s / 2:
                self._away("timeout", "no answer before the caller's deadline", None)
            raise
        except SetupError as error:
            raise self._failed("setup", str(error)) from error
        except exceptions.OutOfMemoryError as error:
            raise self._failed("full", f"{where} is full; raise its maxmemory") from error
        except exceptions.AuthenticationError as error:
            refused = SetupError(
                f"{where} refused user {self._address.username or 'default'!r}: {error}; "
                f"the password is read from {PASSWORD}"
            )
            raise self._failed("credentials", str(refused)) from refused
        except exceptions.NoPermissionError as error:
            refused = SetupError(f"{where} does not let us do our work: {error}")
            raise self._failed("credentials", str(refused)) from refused
        except (exceptions.ReadOnlyError, exceptions.MasterDownError) as error:
            self._checked = False
            raise self._failed("read_only", f"{where} is a replica: {error}") from error
        except (exceptions.ConnectionError, exceptions.RedisClusterException, OSError) as error:
            raise self._away("connection", str(error), error) from error
        except exceptions.RedisError as error:
            raise self._failed("answer", f"{where} answered: {error}") from error

    def _failed(self, reason: str, message: str) -> UnavailableError:
        """Counted; Redis answered, so the next call may succeed."""
        metrics.USER_STATE_ERRORS.labels(reason).inc()
        return UnavailableError(message, public=STATES_AWAY)

    def _away(self, reason: str, message: str, error: BaseException | None) -> UnavailableError:
        self._checked = False  # what comes back may be another server
        self._breaker.failed(message)
        return self._failed(reason, f"{self._address}: {message}")

    async def _said(self, script: str, key: str, arguments: Sequence[Any]) -> bool:
        """What one script answers about one key."""
        call = (script, [key], arguments)
        [answer] = await self._call(lambda: self._run([call]), self._write_timeout_s)
        return bool(answer)

    async def _values(self, keys: Sequence[str]) -> list[bytes | None]:
        if not self._cluster and len(keys) <= KEYS_PER_CALL:
            values: list[bytes | None] = await self._client.execute_command("MGET", *keys)
            return values
        pipeline = self._client.pipeline(transaction=False)
        for part in _parts(keys, 1 if self._cluster else KEYS_PER_CALL):
            pipeline.execute_command("GET" if self._cluster else "MGET", *part)
        answers = await pipeline.execute()
        return list(answers) if self._cluster else [value for part in answers for value in part]

    async def _run(self, calls: Sequence[tuple[str, list[str], Sequence[Any]]]) -> list[Any]:
        """Answers of scripts, sent in one batch; loads them where Redis has forgotten them."""
        for last in (False, True):
            pipeline = self._client.pipeline(transaction=False)
            for script, keys, arguments in calls:
                pipeline.execute_command("EVALSHA", _SHA[script], len(keys), *keys, *arguments)
            answers: list[Any] = await pipeline.execute(raise_on_error=False)
            errors = [answer for answer in answers if isinstance(answer, Exception)]
            if not errors:
                return answers
            forgotten = all(isinstance(error, exceptions.NoScriptError) for error in errors)
            if last or not forgotten or len(errors) < len(answers):
                raise errors[0]
            await self._load_scripts()
        raise AssertionError("unreachable")

    async def _load_scripts(self) -> None:
        everywhere: dict[str, Any] = {"target_nodes": "primaries"} if self._cluster else {}
        for script in _SCRIPTS:
            await self._client.execute_command("SCRIPT LOAD", script, **everywhere)

    async def _check(self) -> None:
        """Raises SetupError unless states are safe here, and readable."""
        async with self._checking:
            if self._checked:
                return
            for node in self._client.get_primaries() if self._cluster else (None,):
                await self._check_server({"target_nodes": node} if node else {})
            schema = await self._client.execute_command("GET", SCHEMA_KEY)
            if schema is None:
                await self._client.execute_command("SET", SCHEMA_KEY, SCHEMA, "NX")
                schema = await self._client.execute_command("GET", SCHEMA_KEY)
            if schema != SCHEMA:
                raise SetupError(
                    f"{self._address} holds states of layout {schema.decode(errors='replace')!r} "
                    f"({SCHEMA_KEY}), this version of Hemline reads {SCHEMA.decode()!r}: use the "
                    "version that wrote them, or an empty database, which fills from the event log"
                )
            await self._load_scripts()
            self._checked = True

    async def _check_server(self, target: dict[str, Any]) -> None:
        try:
            info = await self._client.execute_command("INFO", **target)
        except exceptions.NoPermissionError:
            logger.warning("%s does not show INFO; its eviction policy is unchecked", self._address)
            return
        if target and "role" not in info:  # a cluster answers by node
            [info] = info.values()
        where = f"{target['target_nodes'].name} of {self._address}" if target else self._address
        if info["role"] != "master":
            raise SetupError(
                f"{where} is a read-only replica of {info.get('master_host')}:"
                f"{info.get('master_port')}; use that, or let Sentinel name the master"
            )
        if (policy := info["maxmemory_policy"]) != "noeviction":
            raise SetupError(
                f"{where} would drop states when it is full: maxmemory-policy is {policy}, and "
                "must be noeviction"
            )


def _client(address: RedisAddress, max_connections: int) -> tuple[Any, tuple[Any, ...]]:
    """redis-py's client, and what else is to be closed with it. No retries: the callers know
    better."""
    tls: dict[str, Any] = {"ssl": True, **address.options} if address.tls else {}
    options: dict[str, Any] = {
        "socket_connect_timeout": None,  # every call has its own, for all it does
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,
        "max_connections": max_connections,
        "username": address.username or None,
        "password": address.password or None,
        **tls,
    }
    if address.kind == "cluster":
        nodes = [ClusterNode(host, port) for host, port in address.hosts]
        again = Retry(NoBackoff(), 1)  # with the slots asked for anew, which may have moved
        return RedisCluster(startup_nodes=nodes, **options | {"retry": again}), ()
    if address.kind == "sentinel":
        to_sentinels = {**tls, "password": address.sentinel_password or None}
        to_sentinels |= {"socket_timeout": 0.5, "socket_connect_timeout": 0.5}
        sentinel: Any = Sentinel(address.hosts, sentinel_kwargs=to_sentinels)  # type: ignore[no-untyped-call]
        master = sentinel.master_for(address.service, db=address.db, **options)
        return master, tuple(sentinel.sentinels)
    [(host, port)] = address.hosts
    return Redis(host=host, port=port, db=address.db, **options), ()


def _key(user_id: str) -> str:
    return f"hemline:user:{{{user_hash(user_id)}}}"


def _state(user_id: str, value: bytes | None) -> UserState:
    """The state to change: empty, with its version, where nothing is stored."""
    if value is None:
        return UserState(user_id)
    if len(value) < _HEAD.size:
        raise UnreadableStateError(user_id, f"it has only {len(value)} bytes")
    version, erased_ms = _HEAD.unpack_from(value)
    if len(value) == _HEAD.size:
        return UserState(user_id, version, erased_ms=erased_ms)
    return decode_user_state(user_id, version, value[_HEAD.size :], erased_ms)


def _parts(items: Sequence[T], size: int) -> list[Sequence[T]]:
    return [items[start : start + size] for start in range(0, len(items), size)]
