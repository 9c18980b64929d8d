"""Triton Inference Server on this machine, without a container: installed from PyPI.

The wheel `nvidia-pytriton` carries NVIDIA's server (2.51), its Python backend and all libraries but
one: libpython3.11. Only those are used, none of the wheel's Python code, so that its dependencies
are not installed.

Two weaknesses of this version to plan for. A model's process that gets no processor for a whole
second, while it loads or during a call, is taken for dead, and the server then dies of a
`boost::interprocess::lock_exception`: whoever starts it has to start it again, also before it was
ready for the first time. A model's process that does die is never replaced, though the server goes
on calling itself ready: ask `TritonEncoders.ready`, which asks every model, and restart the server,
as `local.supervisor` does as soon as such a process is dead.
"""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
import sys
import sysconfig
import uuid
from dataclasses import dataclass
from pathlib import Path

import hemline
from hemline.errors import HemlineError
from hemline.tls import ServerTls
from hemline.triton_repository import MODELS

PACKAGE, VERSION = "nvidia-pytriton", "0.7.0"
PYTHON = (3, 11)  # the stub, pyproject.toml and the Debian package below agree on this
_STUB = "triton_python_backend_stub"


class TritonInstallError(HemlineError):
    """Triton cannot be installed or run on this machine; the message says what is missing."""


@dataclass(frozen=True)
class TritonInstall:
    """The folder that `install_triton` made."""

    folder: Path

    @property
    def binary(self) -> Path:
        return self.folder / "pytriton" / "tritonserver" / "bin" / "tritonserver"

    @property
    def backends(self) -> Path:
        return self.folder / "pytriton" / "tritonserver" / "backends"

    @property
    def stub(self) -> Path:
        return self.backends / "python" / _STUB

    @property
    def libraries(self) -> Path:
        return self.folder / "nvidia_pytriton.libs"

    @property
    def library_path(self) -> str:
        """LD_LIBRARY_PATH: the wheel's libraries, then those of this Python (conda, uv, pyenv)."""
        python_libraries = sysconfig.get_config_var("LIBDIR")
        return os.pathsep.join(filter(None, [str(self.libraries), python_libraries]))

    def is_whole(self) -> bool:
        return all(
            path.exists() for path in (self.binary, self.stub, self.libraries, self.backends)
        )


@dataclass(frozen=True)
class TritonCommand:
    """How to start the server. env: on top of the environment of whoever starts it."""

    argv: tuple[str, ...]
    env: dict[str, str]


def install_triton(home: Path, python: tuple[int, ...] = sys.version_info[:2]) -> TritonInstall:
    """The server below `home`/triton/, installed with pip (55 MB to download) if it is not there.

    Several processes may do this at once. Raises TritonInstallError on another Python than 3.11,
    when pip fails, or when a library is missing that pip cannot bring.
    """
    if python[:2] != PYTHON:
        running = ".".join(map(str, python[:2]))
        raise TritonInstallError(
            f"Triton's Python backend needs Python 3.11, and this is {running}: "
            "create the virtual environment with python3.11"
        )
    install = TritonInstall(home.resolve() / "triton" / VERSION)
    if not install.is_whole():
        staging = install.folder.with_name(f".staging-{uuid.uuid4().hex[:8]}")
        try:
            _download(staging)
            _assemble(staging)
            _publish(staging, install)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    check_libraries(install)
    return install


def check_libraries(install: TritonInstall) -> None:
    """Raise TritonInstallError naming the shared libraries that Triton would not find."""
    environment = {"LD_LIBRARY_PATH": install.library_path, "LD_TRACE_LOADED_OBJECTS": "1"}
    for program in (install.binary, install.stub):
        # With this variable the dynamic linker lists what it finds and does not run the program.
        try:
            listed = subprocess.run([program], env=environment, capture_output=True, text=True)
        except OSError as error:  # another processor's program, a noexec file system
            raise TritonInstallError(f"{program.name} cannot run here: {error}") from error
        missing = missing_libraries(listed.stdout)
        if any(name.startswith("libpython3.11") for name in missing):
            raise TritonInstallError(
                "Triton's Python backend needs libpython3.11.so.1.0: "
                "install Debian's package libpython3.11 (apt-get install libpython3.11)"
            )
        if missing or listed.returncode:
            reason = ", ".join(missing) or listed.stderr.strip()
            raise TritonInstallError(f"{program.name} cannot run here; missing: {reason}")


def missing_libraries(listing: str) -> list[str]:
    """Names of the libraries that the dynamic linker, as `ldd` prints it, did not find."""
    return [
        line.split("=>")[0].strip()
        for line in listing.splitlines()
        if line.rstrip().endswith("not found")
    ]


def triton_command(
    install: TritonInstall,
    repository: Path,
    *,
    grpc_port: int,
    http_port: int | None,
    metrics_port: int,
    host: str = "127.0.0.1",
    device: str = "cpu",
    threads_per_model: int = 1,
    control_key: str | None = None,
    tls: ServerTls | None = None,
) -> TritonCommand:
    """The command that serves `repository` (see `triton_repository`), listening on `host` only.

    http_port: None turns the HTTP API off, which leaves gRPC and the metrics.

    The server is ready when every model is loaded, and exits if one cannot be. Each loaded version
    of each model is a Python process of its own with `threads_per_model` threads. With a
    `control_key` only `TritonEncoders` that know it can load and unload; nobody may use the
    shared-memory, trace and logging calls, where Triton's worst security bugs have been.
    """
    nobody = f"hemline-nobody={secrets.token_hex(16)}"
    control = f"hemline-control={control_key}"
    http = ["--allow-http=false"]
    if http_port is not None:
        http = [
            f"--http-address={host}",
            f"--http-port={http_port}",
            f"--http-restricted-api=shared-memory,trace,logging:{nobody}",
        ]
    argv = [
        # The stub ignores PYTHONPATH and imports from its working directory first: there it finds
        # `hemline` also in a checkout that is not installed, and no stranger's torch.py.
        "env",
        f"--chdir={Path(hemline.__file__).resolve().parents[1]}",
        str(install.binary),
        f"--model-repository={repository.resolve()}",
        f"--backend-directory={install.backends}",
        "--model-control-mode=explicit",
        *(f"--load-model={model}" for model in MODELS),
        "--disable-auto-complete-config",
        "--exit-on-error=true",
        "--strict-readiness=true",
        "--exit-timeout-secs=10",
        f"--grpc-address={host}",
        f"--grpc-port={grpc_port}",
        *http,
        f"--metrics-address={host}",
        f"--metrics-port={metrics_port}",
        "--log-format=ISO8601",
        f"--grpc-restricted-protocol=shared-memory,trace,logging:{nobody}",
        # For encoders that take torch: two processes import it at once, minutes on a busy machine.
        "--backend-config=python,stub-timeout-seconds=300",
        f"--backend-config=python,shm-region-prefix-name={_shared_memory_prefix(grpc_port)}",
    ]
    if control_key is not None:
        argv.append(f"--grpc-restricted-protocol=model-repository:{control}")
        if http_port is not None:
            argv.append(f"--http-restricted-api=model-repository:{control}")
    if tls is not None:  # of gRPC; HTTP and metrics stay plaintext, Triton knows no other
        argv += ["--grpc-use-ssl=true", f"--grpc-server-cert={tls.cert}"]
        argv += [f"--grpc-server-key={tls.key}"]
        if tls.client_ca:
            argv += ["--grpc-use-ssl-mutual=true", f"--grpc-root-cert={tls.client_ca}"]
    if device == "cpu":
        argv += ["--pinned-memory-pool-byte-size=0", "--allow-gpu-metrics=false"]
    threads = str(threads_per_model)
    env = {
        "LD_LIBRARY_PATH": install.library_path,
        # The stub looks for its packages beside the first `python3` on PATH.
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")]),
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "OPENBLAS_NUM_THREADS": threads,
    }
    return TritonCommand(tuple(argv), env)


def remove_shared_memory(grpc_port: int) -> int:
    """Delete shared memory that a killed server left behind; returns how many regions there were.

    Call it before a start, when no server is running on that port.
    """
    stale = list(Path("/dev/shm").glob(f"{_shared_memory_prefix(grpc_port)}*"))
    for region in stale:
        region.unlink(missing_ok=True)
    return len(stale)


def _shared_memory_prefix(grpc_port: int) -> str:
    return f"hemline_triton_{grpc_port}_"


def _download(staging: Path) -> None:
    staging.mkdir(parents=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    pip += ["--only-binary=:all:", "--target", str(staging), f"{PACKAGE}=={VERSION}"]
    done = subprocess.run(pip, capture_output=True, text=True)
    if done.returncode:
        raise TritonInstallError(f"pip could not install {PACKAGE}=={VERSION}:\n{done.stderr}")


def _assemble(staging: Path) -> None:
    """Put the stub for our Python where the backend looks for it."""
    install = TritonInstall(staging)
    stubs = staging / "pytriton" / "tritonserver" / "python_backend_stubs"
    try:
        shutil.copy(stubs / "3.11" / _STUB, install.stub)
    except OSError as error:
        raise TritonInstallError(f"{PACKAGE} {VERSION} is not as expected: {error}") from error
    for program in (install.binary, install.stub):
        program.chmod(0o755)


def _publish(staging: Path, install: TritonInstall) -> None:
    if install.folder.exists() and not install.is_whole():
        shutil.rmtree(install.folder)  # by an earlier version of this code, or by hand
    try:
        staging.rename(install.folder)
    except OSError:
        if not install.is_whole():  # otherwise another process was faster
            raise
