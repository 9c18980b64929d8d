"""A name server that knows one name, as that of a Kubernetes cluster knows a headless service."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from free_ports import free_port

_A, _IN, _TTL_S = 1, 1, 5
_ANSWER, _NO_SUCH_NAME = 0x8400, 0x8403  # flags: an authority's answer, and its code


class Names(asyncio.DatagramProtocol):
    """addresses: of IPv4, behind `name`; None: nothing is answered at all."""

    def __init__(self, name: str) -> None:
        self.port = free_port()
        self.addresses: list[str] | None = []
        self._name = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))

    @asynccontextmanager
    async def served(self) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
        )
        self._transport = transport
        try:
            yield
        finally:
            transport.close()

    def datagram_received(self, query: bytes, whence: tuple[str, int]) -> None:
        """One question, after a header of 12 bytes (RFC 1035, 4.1)."""
        if self.addresses is None:
            return
        name, _, rest = query[12:].partition(b"\0")
        (kind,) = struct.unpack(">H", rest[:2])
        known = name == self._name
        found = self.addresses if known and kind == _A else []
        header = struct.pack(">4H", _ANSWER if known else _NO_SUCH_NAME, 1, len(found), 0)
        question = name + b"\0" + rest[:4]
        records = [
            struct.pack(">3HIH", 0xC00C, _A, _IN, _TTL_S, 4) + socket.inet_aton(address)
            for address in found
        ]
        answer = query[:2] + header + b"\0\0" + question + b"".join(records)
        self._transport.sendto(answer, whence)
