"""A TCP proxy between two processes that can be told to dawdle: a slow backend, not a dead one."""

from __future__ import annotations

import asyncio
import contextlib


class SlowProxy:
    """Passes bytes on to HOST:PORT `target`, each piece `delay_s` late; at once while that is 0."""

    def __init__(self, target: str) -> None:
        self._host, _, port = target.rpartition(":")
        self._port = int(port)
        self.delay_s = 0.0
        self.address = ""
        self._server: asyncio.Server | None = None
        self._passing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = f"{host}:{port}"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            for task in self._passing:
                task.cancel()
            await asyncio.gather(*self._passing, return_exceptions=True)
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            there_reader, there_writer = await asyncio.open_connection(self._host, self._port)
            try:
                there = asyncio.create_task(self._pass(reader, there_writer))
                try:
                    await self._pass(there_reader, writer)
                finally:
                    there.cancel()  # neither side has anything to say to half a connection
            finally:
                await _hang_up(there_writer)
        except OSError:
            pass  # the target refused, and so do we
        finally:
            await _hang_up(writer)
            self._passing.discard(task)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                if self.delay_s:
                    await asyncio.sleep(self.delay_s)
                writer.write(data)
                await writer.drain()
        writer.close()


async def _hang_up(writer: asyncio.StreamWriter) -> None:
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
