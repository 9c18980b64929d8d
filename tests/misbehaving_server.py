"""A web server that misbehaves in every way a download must live through, each at a path."""

from __future__ import annotations

import asyncio
import io
import struct
import threading
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

# Loopback addresses other than 127.0.0.1 allow a test to permit one and forbid the other.
ALLOWED, FORBIDDEN = "127.0.0.2", "127.0.0.1"


def picture(shade: int = 200, side: int = 40) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (side, side), (shade, 30, 60)).save(out, "JPEG")
    return out.getvalue()


def bomb() -> bytes:
    """A PNG of a few hundred bytes that promises 60,000 x 60,000 pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checksum = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + checksum

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100_000)
    parts = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def answer(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    said = {"Content-Type": "image/jpeg", "Content-Length": str(len(body))}
    said |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in said.items() if value)
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode() + body


class MisbehavingServer:
    """Counts the requests of each path in `asked`, and how many were open at once."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.open = self.most_open = 0
        self.ports: dict[str, int] = {}

    def url(self, path: str, host: str = ALLOWED) -> str:
        return f"http://{host}:{self.ports[host]}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                path = line.split()[1].decode()
                while (await reader.readline()).strip():
                    pass
                self.asked[path] += 1
                self.open += 1
                self.most_open = max(self.most_open, self.open)
                try:
                    keep_open = await self.answer(path, writer)
                finally:
                    self.open -= 1
                if not keep_open:
                    break
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.close()

    async def answer(self, path: str, writer: asyncio.StreamWriter) -> bool:
        name = path.rpartition("/")[2].partition(".")[0].partition("?")[0]
        times = self.asked[path]
        metadata = "http://169.254.169.254/latest/meta-data/"
        plain = {
            "html": answer(b"<html>Not here</html>", Content_Type="text/html"),
            "disguised": answer(b"<html>Not here</html>"),
            "broken": answer(picture()[:300]),
            "bomb": answer(bomb(), Content_Type="image/png"),
            "gone": answer(b"", "404 Not Found"),
            "down": answer(b"", "503 Service Unavailable"),
            "huge": answer(b"", Content_Length="9999999999"),
            "gzip": answer(picture(), Content_Encoding="gzip"),
            "secret": answer(picture(1)),
            "loop": answer(b"", "302 Found", Location=path),
            "inside": answer(b"", "302 Found", Location=self.url("/secret", FORBIDDEN)),
            "metadata": answer(b"", "302 Found", Location=metadata),
            "moved": answer(b"", "301 Moved", Location="/good.jpg?moved"),
            "nowhere": answer(b"", "302 Found"),
        }
        if name in plain:
            writer.write(plain[name])
        elif name == "flaky" and times <= 2:
            writer.write(answer(b"", "500 Internal Server Error"))
        elif name == "busy" and times == 1:
            writer.write(answer(b"", "429 Too Many Requests", Retry_After="1"))
        elif name == "tomorrow":
            writer.write(answer(b"", "429 Too Many Requests", Retry_After="86400"))
        elif name == "short":
            writer.write(answer(picture(), Content_Length="100000"))
            return False
        elif name == "hangup":
            return False
        elif name == "nonsense":
            writer.write(b"\x16\x03\x01 what?\r\n\r\n")
            return False
        elif name == "drip":
            writer.write(answer(b"", Content_Length="100000"))
            await self.send_for_ever(writer, b"\xff", pause_s=0.05)
        elif name == "endless":
            writer.write(answer(b"", Content_Length=""))
            await self.send_for_ever(writer, picture() * 100, pause_s=0.0)
        else:
            shade = int(name.removeprefix("shade")) if name.startswith("shade") else 200
            writer.write(answer(picture(shade)))
        await writer.drain()
        return True

    async def send_for_ever(
        self, writer: asyncio.StreamWriter, data: bytes, pause_s: float
    ) -> None:
        while True:
            writer.write(data)
            await writer.drain()
            await asyncio.sleep(pause_s)


@contextmanager
def misbehaving_server() -> Iterator[MisbehavingServer]:
    server = MisbehavingServer()
    loop = asyncio.new_event_loop()
    ready = threading.Event()
    stop = asyncio.Event()

    async def run() -> None:
        started = [await asyncio.start_server(server.serve, h, 0) for h in (ALLOWED, FORBIDDEN)]
        for host, listening in zip((ALLOWED, FORBIDDEN), started, strict=True):
            server.ports[host] = listening.sockets[0].getsockname()[1]
        ready.set()
        await stop.wait()
        for listening in started:
            listening.close()
        tasks = [t for t in asyncio.all_tasks() if t is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    thread = threading.Thread(target=lambda: loop.run_until_complete(run()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.close()
