"""python -m hemline.triton_container: NVIDIA's server in its image, as `hemline up` starts it.

The flags come from `local.triton_server.triton_command`, so that what the integration tests run is
what a cluster runs. Three things differ: the server is where NVIDIA's image has it, HTTP is off
(probes and clients speak gRPC, and every API less is one attack less), and loading and unloading
models takes the key in a mounted file. Without such a file nobody can.
"""

from __future__ import annotations

import logging
import os
import secrets
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from hemline.errors import InvalidInputError
from hemline.local.triton_server import (
    TritonCommand,
    TritonInstall,
    remove_shared_memory,
    triton_command,
)
from hemline.process import read_config
from hemline.tls import ServerTlsSettings, server_tls

MIN_KEY_LENGTH = 32


@dataclass(frozen=True)
class Config(ServerTlsSettings):
    models: Path  # made by `hemline release triton-models`
    server: Path = Path("/opt/tritonserver")  # where NVIDIA's image has it
    host: str = "0.0.0.0"
    grpc_port: int = 7111
    metrics_port: int = 7112
    device: str = "cpu"  # of the CLIP models: cpu or gpu, as the repository was made for
    threads_per_model: int = 1
    control_key_file: Path | None = None  # who knows its content may load and unload models


@dataclass(frozen=True)
class ContainerInstall(TritonInstall):
    """The server as NVIDIA's image has it; `folder` is /opt/tritonserver."""

    @property
    def binary(self) -> Path:
        return self.folder / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        return self.folder / "backends"

    @property
    def library_path(self) -> str:
        """That of the image (CUDA), then the libraries of the Python that the models run in."""
        python_libraries = sysconfig.get_config_var("LIBDIR")
        return os.pathsep.join(filter(None, [os.environ.get("LD_LIBRARY_PATH"), python_libraries]))


def command_of(config: Config) -> TritonCommand:
    """How to start the server.

    Raises InvalidInputError for a control key that is missing or too short, and for certificates
    that are of no use.
    """
    return triton_command(
        ContainerInstall(config.server),
        config.models,
        grpc_port=config.grpc_port,
        http_port=None,
        metrics_port=config.metrics_port,
        host=config.host,
        device=config.device,
        threads_per_model=config.threads_per_model,
        control_key=_control_key(config.control_key_file),
        tls=server_tls(config),
    )


def _control_key(file: Path | None) -> str:
    if file is None:
        return secrets.token_hex(32)  # forgotten at once
    try:
        key = file.read_text().strip()
    except OSError as error:
        raise InvalidInputError("control_key_file", f"{file}: {error.strerror}") from error
    if len(key) < MIN_KEY_LENGTH:
        raise InvalidInputError(
            "control_key_file",
            f"{file} holds {len(key)} characters, and a key has at least {MIN_KEY_LENGTH}; "
            "make one with: openssl rand -hex 32",
        )
    return key


def main() -> None:
    """Become the server: the same process id, so that it gets Kubernetes' signals itself."""
    config = read_config(Config, "triton_container")
    try:
        command = command_of(config)
    except InvalidInputError as error:
        logging.getLogger("hemline").error("%s", error)
        raise SystemExit(1) from error
    remove_shared_memory(config.grpc_port)
    os.execvpe(command.argv[0], list(command.argv), os.environ | command.env)


if __name__ == "__main__":
    main()
