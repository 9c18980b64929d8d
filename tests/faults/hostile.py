"""python tests/faults/hostile.py --requests 100000 --seed 1: a gateway among callers who mean harm.

Starts a real gateway process over the small shop, with SQLite stores and no Triton, and sends it
what no honest client would. It must stay up, never answer INTERNAL or UNKNOWN, lose no connection,
hold its memory, and serve an honest caller afterwards. Every kind of attack is a function of the
seeded generator below. What needs Triton is answered UNAVAILABLE, rightly.

Resident memory swings by some MiB with what is under way, so it is taken every `SAMPLE_EVERY`
attacks, and the median of the last samples is compared with the median of those after the caches
have filled.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import random
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf.descriptor import FieldDescriptor as Field
from google.protobuf.message_factory import GetMessageClass
from prometheus_client.parser import text_string_to_metric_families

sys.path.insert(0, str(Path(__file__).parents[1]))

from free_ports import free_port
from hemline.v1 import admin_pb2, catalog_pb2, event_pb2, recommender_pb2, user_pb2
from hemline.v1.recommender_pb2 import RecommendRequest
from small_world import build_small_release

RECOMMEND = "/hemline.v1.RecommenderService/Recommend"
GROWTH_LIMIT = 0.05  # of the resident memory after the warm-up
SAMPLE_EVERY = 250  # attacks
SAMPLES = 20  # most of them that make a median
CALLERS = 16  # attacks under way at a time
FORBIDDEN = ("INTERNAL", "UNKNOWN", "HUNG")
PATIENCE_S = 60.0

# What the client library itself makes, as INTERNAL, of a stream that the server ended while it was
# sending. It loses the server's status, so the gateway's own counter of statuses is read as well.
SEND_FAILED = "Internal error from Core"

METHODS = {
    f"/{service.full_name}/{method.name}": method
    for module in (recommender_pb2, event_pb2, user_pb2, catalog_pb2, admin_pb2)
    for service in module.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
NUMBERS = (0, 1, -1, 5, 500, 501, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63))
FLOATS = (0.0, 1.0, -1.0, 1e-45, 3.4e38, -3.4e38, float("nan"), float("inf"), float("-inf"))
TEXTS = ("", "ada", "dress-01", "price", "colour", "\x00", "x" * 129, "é" * 2000, "' OR 1=1 --")


@dataclass
class Report:
    """What came back, and what the attacks cost the gateway."""

    statuses: Counter[str] = field(default_factory=Counter)
    attacks: Counter[str] = field(default_factory=Counter)
    bad: list[str] = field(default_factory=list)
    rss_before: float = 0.0  # bytes: median of the warm-up's last samples
    rss: list[int] = field(default_factory=list)  # bytes, every SAMPLE_EVERY attacks
    away: int = 0  # UNAVAILABLE that the client saw, warm-up too
    counted: Counter[str] = field(default_factory=Counter)  # by the gateway itself, warm-up too
    alive: bool = False  # the process ran to the end and served an honest caller

    @property
    def rss_after(self) -> float:
        """Bytes, median of the last samples."""
        return statistics.median(self.rss[-SAMPLES:]) if self.rss else 0.0

    @property
    def growth(self) -> float:
        return self.rss_after / self.rss_before - 1

    @property
    def rss_tenths(self) -> list[float]:
        """Bytes, the median of each tenth of the samples, in order."""
        edges = [len(self.rss) * tenth // 10 for tenth in range(11)]
        parts = [self.rss[start:end] for start, end in itertools.pairwise(edges)]
        return [statistics.median(part) for part in parts if part]

    @property
    def failures(self) -> list[str]:
        found = [] if self.alive else ["the gateway died or serves no honest caller any more"]
        found += [f"{self.statuses[name]} x {name}" for name in FORBIDDEN if self.statuses[name]]
        found += [
            f"{self.counted[name]} x {name} by the gateway's own count"
            for name in FORBIDDEN
            if self.counted[name]
        ]
        # The gateway counts what it calls UNAVAILABLE itself; the rest are broken connections.
        if self.away > self.counted["UNAVAILABLE"]:
            found.append(f"{self.away - self.counted['UNAVAILABLE']} calls lost their connection")
        if self.growth >= GROWTH_LIMIT:
            found.append(f"memory grew by {self.growth:.1%}, the limit is {GROWTH_LIMIT:.0%}")
        return found


class Attacker:
    """Makes and sends attacks; the same seed makes the same ones in the same order."""

    def __init__(self, channel: grpc.aio.Channel, port: int, seed: int) -> None:
        self.channel = channel
        self.port = port
        self.random = random.Random(seed)
        self.paths = sorted(METHODS)
        self.many = RecommendRequest(
            user_id="ada", k=5, exclude_item_ids=[f"dress-{n}" for n in range(10_001)]
        ).SerializeToString()
        self.oversize = bytes(17 * 1024 * 1024)

    def next(self) -> tuple[str, Callable[[], Awaitable[str]]]:
        """The name of an attack, and what sends it and returns the status."""
        kinds: dict[str, tuple[int, Callable[[], Callable[[], Awaitable[str]]]]] = {
            "random bytes": (200, self._random_bytes),
            "wild fields": (250, self._wild),
            "mutated": (250, self._mutated),
            "deep filter": (60, self._deep),
            "10,001 ids": (10, lambda: self._unary(RECOMMEND, self.many)),
            "unknown method": (40, self._unknown),
            "giant metadata": (40, self._metadata),
            "cancelled stream": (60, self._cancelled_stream),
            "no time": (40, self._no_time),
            "garbage on the port": (40, self._garbage),
            "oversize": (1, lambda: self._unary(RECOMMEND, self.oversize)),
        }
        weights = [weight for weight, _ in kinds.values()]
        name = self.random.choices(list(kinds), weights)[0]
        return name, kinds[name][1]()

    def wild_message(self, descriptor: Any, depth: int = 0) -> Any:
        """A message with some fields set, each to something at or over an edge."""
        message = GetMessageClass(descriptor)()
        for part in descriptor.fields:
            if self.random.random() < 0.35 or (depth > 3 and part.message_type):
                continue
            map_entry = part.message_type and part.message_type.GetOptions().map_entry
            if map_entry:
                continue
            if part.message_type:
                inner = self.wild_message(part.message_type, depth + 1)
                target = getattr(message, part.name)
                target.append(inner) if part.is_repeated else target.CopyFrom(inner)
                continue
            try:
                if part.is_repeated:
                    values = [self._value(part) for _ in range(self.random.choice((0, 1, 3, 40)))]
                    getattr(message, part.name).extend(values)
                else:
                    setattr(message, part.name, self._value(part))
            except ValueError:  # too large for the field's type: the mutations send such bytes
                continue
        return message

    def _value(self, part: Any) -> Any:
        kind = part.cpp_type
        if kind in (Field.CPPTYPE_FLOAT, Field.CPPTYPE_DOUBLE):
            return self.random.choice(FLOATS)
        if kind == Field.CPPTYPE_BOOL:
            return self.random.random() < 0.5
        if kind == Field.CPPTYPE_STRING:
            if part.type == Field.TYPE_BYTES:
                return self.random.randbytes(self.random.choice((0, 3, 64, 5000)))
            return self.random.choice(TEXTS)
        return self.random.choice(NUMBERS)

    def _random_bytes(self) -> Callable[[], Awaitable[str]]:
        data = self.random.randbytes(self.random.randrange(300))
        return self._send(self.random.choice(self.paths), [data])

    def _wild(self) -> Callable[[], Awaitable[str]]:
        path = self.random.choice(self.paths)
        kind = METHODS[path].input_type
        return self._send(path, [self.wild_message(kind).SerializeToString()] * 2)

    def _mutated(self) -> Callable[[], Awaitable[str]]:
        path = self.random.choice(self.paths)
        data = bytearray(self.wild_message(METHODS[path].input_type).SerializeToString())
        for _ in range(self.random.randrange(1, 6)):
            place = self.random.randrange(len(data) + 1)
            data[place : place + self.random.randrange(3)] = self.random.randbytes(
                self.random.randrange(3)
            )
        return self._send(path, [bytes(data[: self.random.randrange(len(data) + 1)] or data)])

    def _deep(self) -> Callable[[], Awaitable[str]]:
        condition = b""
        for _ in range(self.random.choice((1, 10, 33, 90, 99, 101, 1000))):
            condition = _field(3, condition)  # negated
        return self._unary(RECOMMEND, _field(1, b"ada") + b"\x10\x05" + _field(3, condition))

    def _unknown(self) -> Callable[[], Awaitable[str]]:
        path = self.random.choice(
            ("/hemline.v1.RecommenderService/Bribe", "/x/y", f"/{self.random.random()}/z")
        )
        return self._unary(path, b"")

    def _metadata(self) -> Callable[[], Awaitable[str]]:
        size = self.random.choice((7_000, 12_000, 20_000, 100_000))
        metadata = (("x-api-key", "k" * size), ("junk-bin", self.random.randbytes(64)))
        return self._unary(RECOMMEND, RecommendRequest().SerializeToString(), metadata=metadata)

    def _no_time(self) -> Callable[[], Awaitable[str]]:
        data = RecommendRequest(user_id="ada", k=500).SerializeToString()
        return self._unary(RECOMMEND, data, timeout=self.random.choice((0.0, 0.0005, 0.002)))

    def _send(self, path: str, messages: list[bytes]) -> Callable[[], Awaitable[str]]:
        if not METHODS[path].client_streaming:
            return self._unary(path, messages[0])

        async def send() -> str:
            return await _status(self.channel.stream_unary(path)(_each(messages), timeout=10))

        return send

    def _unary(
        self, path: str, data: bytes, timeout: float = 10.0, metadata: Any = None
    ) -> Callable[[], Awaitable[str]]:
        async def send() -> str:
            call = self.channel.unary_unary(path)(data, timeout=timeout, metadata=metadata)
            return await _status(call)

        return send

    def _cancelled_stream(self) -> Callable[[], Awaitable[str]]:
        path = self.random.choice([path for path in self.paths if METHODS[path].client_streaming])
        kind = METHODS[path].input_type
        messages = [self.wild_message(kind).SerializeToString() for _ in range(3)]
        pause = self.random.choice((0.0, 0.001, 0.01))

        async def send() -> str:
            call = self.channel.stream_unary(path)(timeout=10)
            try:
                for message in messages:
                    await call.write(message)
            except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
                pass  # refused before the end
            await asyncio.sleep(pause)
            call.cancel()
            return await _status(call)

        return send

    def _garbage(self) -> Callable[[], Awaitable[str]]:
        preface = self.random.choice(
            (b"", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET / HTTP/1.1\r\n")
        )
        data = preface + self.random.randbytes(self.random.randrange(2000))

        async def send() -> str:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            try:
                writer.write(data)
                async with asyncio.timeout(0.05):
                    await reader.read(100)
            except (OSError, TimeoutError):
                pass  # cut off, or left waiting for more
            finally:
                writer.transport.abort()
            return "(raw connection)"

        return send


def _field(number: int, value: bytes) -> bytes:
    """A length-delimited protobuf field."""
    length, size = b"", len(value)
    while size > 127:
        length += bytes([size & 127 | 128])
        size >>= 7
    return bytes([number << 3 | 2]) + length + bytes([size]) + value


async def _each(messages: list[bytes]) -> AsyncIterator[bytes]:
    for message in messages:
        yield message


async def _status(call: Any) -> str:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        if error.details() == SEND_FAILED and not error.trailing_metadata():
            return "(ended while sending)"
        return error.code().name
    except asyncio.CancelledError:
        if not call.cancelled():
            raise
        return "CANCELLED"
    return "OK"


async def attack(attacker: Attacker, requests: int, report: Report) -> None:
    """Send so many attacks, `CALLERS` at a time, and count what came back."""
    left = iter(range(requests))

    async def caller() -> None:
        for _ in left:
            name, send = attacker.next()
            try:
                async with asyncio.timeout(PATIENCE_S):
                    status = await send()
            except TimeoutError:
                status = "HUNG"
            report.statuses[status] += 1
            report.attacks[name] += 1
            if status in FORBIDDEN and len(report.bad) < 20:
                report.bad.append(f"{name}: {status}")

    await asyncio.gather(*(caller() for _ in range(CALLERS)))


async def attack_and_weigh(attacker: Attacker, requests: int, report: Report, pid: int) -> None:
    """Attack, and note the resident memory of process `pid` every SAMPLE_EVERY attacks."""
    for sent in range(0, requests, SAMPLE_EVERY):
        await attack(attacker, min(SAMPLE_EVERY, requests - sent), report)
        with suppress(ProcessLookupError, FileNotFoundError):  # it died; the report says so
            report.rss.append(resident_bytes(pid))


@asynccontextmanager
async def gateway(folder: Path) -> AsyncIterator[tuple[subprocess.Popen[bytes], int, int]]:
    """A gateway process over the small shop, its port, and that of its metrics.

    Its log is folder/gateway.log.
    """
    build_small_release(folder / "releases")
    port, metrics_port = free_port(), free_port()
    settings = {
        "releases": folder / "releases",
        "log": f"sqlite:{folder}/events.sqlite",
        "users": f"sqlite:{folder}/users.sqlite",
        "address": f"127.0.0.1:{port}",
        "triton": f"127.0.0.1:{free_port()}",  # nobody there
        "metrics-port": metrics_port,
    }
    flags = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
    with (folder / "gateway.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "hemline.gateway", *flags], stdout=log, stderr=log
        )
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            if not await honest(channel, wait_s=120.0):
                text = (folder / "gateway.log").read_text()[-2000:]
                raise RuntimeError(f"the gateway did not start:\n{text}")
        yield process, port, metrics_port
    finally:
        process.terminate()
        process.wait(90)


async def honest(channel: grpc.aio.Channel, wait_s: float = 60.0) -> bool:
    """Whether a plain request gets its answer."""
    request = RecommendRequest(user_id="honest", k=5).SerializeToString()
    call = channel.unary_unary(RECOMMEND)(request, timeout=wait_s, wait_for_ready=True)
    return await _status(call) == "OK"


def counted_statuses(metrics_port: int) -> Counter[str]:
    """How many calls the gateway says it ended with each status."""
    counted: Counter[str] = Counter()
    with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/metrics", timeout=60) as page:
        for family in text_string_to_metric_families(page.read().decode()):
            for sample in family.samples:
                if sample.name == "hemline_requests_total":
                    counted[sample.labels["code"]] += int(sample.value)
    return counted


def resident_bytes(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(f"process {pid} has ended")


async def run(requests: int, seed: int, folder: Path, warm_up: int) -> Report:
    """Attack a gateway of its own in `folder`; memory is compared with the end of `warm_up`."""
    report = Report()
    async with gateway(folder) as (process, port, metrics_port):
        options = [("grpc.max_send_message_length", -1), ("grpc.enable_http_proxy", 0)]
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=options) as channel:
            attacker = Attacker(channel, port, seed)
            await attacker._unary(RECOMMEND, attacker.oversize)()
            warm = Report()
            await attack_and_weigh(attacker, warm_up, warm, process.pid)
            report.rss_before = statistics.median(warm.rss[-min(SAMPLES, len(warm.rss) // 2) :])
            await attack_and_weigh(attacker, requests, report, process.pid)
            report.alive = process.poll() is None and await honest(channel)
            if report.alive:
                report.counted = await asyncio.to_thread(counted_statuses, metrics_port)
            report.away = warm.statuses["UNAVAILABLE"] + report.statuses["UNAVAILABLE"]
    return report


def main() -> int:
    parser = argparse.ArgumentParser(description="Attack a gateway of its own; exit 1 if it gives.")
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--warm-up", type=int, default=10_000, help="attacks while the caches fill, not reported"
    )
    args = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = asyncio.run(run(args.requests, args.seed, Path(folder), args.warm_up))
        log = (Path(folder) / "gateway.log").read_text()
    for counts in (report.attacks, report.statuses):
        print(", ".join(f"{name} {count}" for name, count in counts.most_common()))
    print(
        f"{args.requests} requests, seed {args.seed}, {time.monotonic() - began:.0f} s; "
        f"memory {report.rss_before / 2**20:.1f} -> {report.rss_after / 2**20:.1f} MiB "
        f"({report.growth:+.2%})"
    )
    course = " ".join(f"{rss / 2**20:.1f}" for rss in report.rss_tenths)
    print(f"memory in each tenth: {course} MiB")
    if report.failures:
        print("FAILED: " + "; ".join(report.failures), *report.bad, log[-6000:], sep="\n")
        return 1
    print("passed: no crash, no INTERNAL, no UNKNOWN, memory held")
    return 0


if __name__ == "__main__":
    sys.exit(main())
