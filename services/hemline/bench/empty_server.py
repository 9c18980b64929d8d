"""The least a gRPC server can do, to compare with: it takes a RecommendRequest and returns an empty
RecommendResponse. Written as anybody would, without Hemline's interceptors or options.

    python -m hemline.bench.empty_server aio

Prints its port, then serves until it is stopped.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from hemline.errors import UnavailableError
from hemline.local import die_with_parent
from hemline.v1 import recommender_pb2, recommender_pb2_grpc

KINDS = ("aio", "sync")
SYNC_THREADS = 8


@dataclass(frozen=True)
class EmptyServer:
    address: str
    pid: int


@contextmanager
def empty_server(kind: str) -> Iterator[EmptyServer]:
    """A server in a process of its own, stopped at the end.

    kind: sync, gRPC's thread pool, as Hemline's servers are, or aio.
    Raises UnavailableError when it does not start.
    """
    wrapper = [sys.executable, "-I", "-S", die_with_parent.__file__, str(os.getpid())]
    command = [*wrapper, sys.executable, "-m", "hemline.bench.empty_server", kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port:
                raise UnavailableError(f"the empty {kind} server did not start")
            yield EmptyServer(f"127.0.0.1:{port}", process.pid)
        finally:
            process.terminate()


class _EmptyAio(recommender_pb2_grpc.RecommenderServiceServicer):
    async def Recommend(
        self, request: recommender_pb2.RecommendRequest, context: Any
    ) -> recommender_pb2.RecommendResponse:
        return recommender_pb2.RecommendResponse()


class _EmptySync(recommender_pb2_grpc.RecommenderServiceServicer):
    def Recommend(
        self, request: recommender_pb2.RecommendRequest, context: Any
    ) -> recommender_pb2.RecommendResponse:
        return recommender_pb2.RecommendResponse()


async def _serve_aio() -> None:
    server = grpc.aio.server()
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(_EmptyAio(), server)  # type: ignore[no-untyped-call]
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


def _serve_sync() -> None:
    server = grpc.server(ThreadPoolExecutor(SYNC_THREADS))
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(_EmptySync(), server)  # type: ignore[no-untyped-call]
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    if sys.argv[1:] == ["aio"]:
        asyncio.run(_serve_aio())
    elif sys.argv[1:] == ["sync"]:
        _serve_sync()
    else:
        raise SystemExit(f"usage: python -m hemline.bench.empty_server {'|'.join(KINDS)}")
