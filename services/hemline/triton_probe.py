"""python -m hemline.triton_probe: does every model of Triton answer? Exit code 0 if so.

For a liveness probe inside Triton's own pod. The server calls itself healthy when the process of a
model has died, and never starts it again (see `local.triton_server`), so each is asked for real.
"""

from __future__ import annotations

import asyncio
import sys
from dataclasses import dataclass
from pathlib import Path

from hemline.process import read_config
from hemline.tls import ClientTlsSettings, triton_tls
from hemline.triton import TritonEncoders
from hemline.triton_repository import versions


@dataclass(frozen=True)
class Config(ClientTlsSettings):
    models: Path  # the repository that Triton serves
    triton: str = "127.0.0.1:7111"
    timeout_s: float = 5.0


async def silent_versions(config: Config) -> list[int]:
    """Versions in the repository of which a model does not answer in time."""
    encoders = TritonEncoders(config.triton, tls=triton_tls(config))
    try:
        return [
            version
            for version in versions(config.models)
            if not await encoders.ready(version, config.timeout_s)
        ]
    finally:
        await encoders.close()


def main() -> None:
    config = read_config(Config, "triton_probe")
    silent = asyncio.run(silent_versions(config))
    if silent or not versions(config.models):
        which = ", ".join(map(str, silent)) or "none in the repository"
        sys.exit(f"Triton at {config.triton} does not answer for version {which}")


if __name__ == "__main__":
    main()
