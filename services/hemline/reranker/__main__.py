"""python -m hemline.reranker: the reranker as a process of its own."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hemline.metrics import RELEASE, serve_metrics
from hemline.process import read_config, run_process
from hemline.releases import open_release
from hemline.reranker.rerank import BlendReranker
from hemline.reranker.servicer import RerankerServicer
from hemline.rpc import Server, ServerSettings
from hemline.v1.reranker_pb2_grpc import add_RerankerServiceServicer_to_server


@dataclass(frozen=True)
class Config(ServerSettings):
    releases: Path  # folder of releases; the promoted one is served
    address: str = "127.0.0.1:7102"
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 7202


async def main(config: Config) -> None:
    release = open_release(config.releases)
    server = Server(config.address, config)
    server.add(
        add_RerankerServiceServicer_to_server,
        RerankerServicer(BlendReranker(release)),
        "hemline.v1.RerankerService",
    )
    serve_metrics(config.metrics_host, config.metrics_port)
    RELEASE.set(release.version)
    await server.run_until_signal()


if __name__ == "__main__":
    run_process(main, read_config(Config, "reranker"))
