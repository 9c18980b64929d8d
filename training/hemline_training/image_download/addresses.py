"""Which addresses a download may connect to: public ones, and networks the caller allows.

A catalogue is a stranger's text, and a server inside our network would trust us. So a name is
resolved here, every address it resolves to is judged, and the connection goes to the very address
that was judged: a name that resolves differently a moment later (DNS rebinding) gains nothing. The
same happens again for each redirect, since each makes a connection of its own.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import httpcore2

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# What `is_global` of Python 3.11 lets through and no picture of a shop comes from.
_NEVER: tuple[Network, ...] = tuple(
    ip_network(block)
    for block in (
        *("0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15"),
        *("224.0.0.0/4", "240.0.0.0/4", "64:ff9b:1::/48", "fec0::/10", "ff00::/8"),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")


class PrivateAddressError(Exception):
    """A name resolves to an address that must not be connected to; the message names both."""


def is_public(address: Address) -> bool:
    """Whether the address is one of the public internet, also where it hides an IPv4 address."""
    if isinstance(address, IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _NAT64:
            inner = IPv4Address(int(address) & 0xFFFFFFFF)
        if address.teredo is not None:
            return False
        if inner is not None:
            return is_public(inner)
    return address.is_global and not any(
        address.version == block.version and address in block for block in _NEVER
    )


class CheckedNetwork(httpcore2.AsyncNetworkBackend):
    """Connects by TCP to public addresses and to `allowed` networks only.

    connect_tcp raises PrivateAddressError, httpcore2.ConnectError and httpcore2.ConnectTimeout.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = tuple(allowed)
        self._tcp = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore2's signature
        local_address: str | None = None,
        socket_options: Iterable[httpcore2.SOCKET_OPTION] | None = None,
    ) -> httpcore2.AsyncNetworkStream:
        try:
            async with asyncio.timeout(timeout):
                addresses = await self._resolve(host, port)
        except TimeoutError as error:
            raise httpcore2.ConnectTimeout(f"{host} was not resolved in time") from error
        for address in addresses:
            if not self._may_connect(address):
                raise PrivateAddressError(f"{host} is {address}, which is not a public address")
        for address in addresses[:-1]:  # an IPv6 address first, say, where there is no IPv6
            try:
                return await self._connect(address, port, timeout, local_address, socket_options)
            except httpcore2.ConnectError:
                continue
        return await self._connect(addresses[-1], port, timeout, local_address, socket_options)

    async def _connect(
        self, address: Address, port: int, *options: Any
    ) -> httpcore2.AsyncNetworkStream:
        # TLS still names and verifies the host: httpcore2 takes that from the URL.
        return await self._tcp.connect_tcp(str(address), port, *options)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def _may_connect(self, address: Address) -> bool:
        return is_public(address) or any(
            address.version == network.version and address in network for network in self._allowed
        )

    @staticmethod
    async def _resolve(host: str, port: int) -> list[Address]:
        loop = asyncio.get_running_loop()
        try:
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"{host} cannot be resolved: {error}") from error
        if not found:
            raise httpcore2.ConnectError(f"{host} has no address")
        # A scope ("fe80::1%eth0") is no part of the address.
        return [ip_address(str(entry[4][0]).partition("%")[0]) for entry in found]
