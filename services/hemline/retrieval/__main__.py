"""python -m hemline.retrieval: the retrieval service as a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hemline.metrics import RELEASE, serve_metrics
from hemline.process import read_config, run_process
from hemline.releases import open_release
from hemline.retrieval.index import FlatRetrieval
from hemline.retrieval.servicer import RetrievalServicer
from hemline.rpc import Server, ServerSettings
from hemline.v1.retrieval_pb2_grpc import add_RetrievalServiceServicer_to_server


@dataclass(frozen=True)
class Config(ServerSettings):
    releases: Path  # folder of releases; the promoted one is served
    address: str = "127.0.0.1:7101"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 7201
    search_threads: int = 2


async def main(config: Config) -> None:
    release = open_release(config.releases)
    retrieval = FlatRetrieval(release, config.search_threads)
    server = Server(config.address, config)
    server.add(
        add_RetrievalServiceServicer_to_server,
        RetrievalServicer(retrieval),
        "hemline.v1.RetrievalService",
    )
    serve_metrics(config.metrics_host, config.metrics_port)
    RELEASE.set(release.version)
    await server.start()
    await server.run_until_signal()
    retrieval.close()


if __name__ == "__main__":
    run_process(main, read_config(Config, "retrieval"))
