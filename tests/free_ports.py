"""Ports for servers that tests start: free ones, which stay free until the server is up.

A port the kernel chooses (port 0) may be given to somebody's outgoing connection a moment later, or
between a kill and the next start; a client that tries a port of that range where nobody listens may
even connect to itself. So these are of the range below, of which the kernel takes none by itself.
"""

from __future__ import annotations

import random
import socket

_BELOW_OUTGOING = range(10_000, 20_000)  # `hemline up --base-port 0` takes from 20,000 on
_given: set[int] = set()  # in this process, which may not have bound them yet


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback on which nobody listens."""
    found: list[int] = []
    while len(found) < count:
        port = random.choice(_BELOW_OUTGOING)
        if port not in _given and _is_free(port):
            _given.add(port)
            found.append(port)
    return found


def free_port() -> int:
    return free_ports(1)[0]


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
