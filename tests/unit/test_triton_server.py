"""Installing Triton and its command line, without running it."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from hemline.local.triton_server import (
    TritonInstall,
    TritonInstallError,
    check_libraries,
    install_triton,
    missing_libraries,
    remove_shared_memory,
    triton_command,
)
from hemline.triton_repository import MODELS


def install_of_harmless_programs(home: Path) -> TritonInstall:
    """What an install looks like, with `true` in the place of the server and of the stub."""
    install = TritonInstall(home / "triton" / "0.7.0")
    for program in (install.binary, install.stub):
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy("/bin/true", program)
    install.libraries.mkdir()
    return install


def test_what_is_installed_is_not_installed_again(tmp_path: Path) -> None:
    install = install_of_harmless_programs(tmp_path)
    before = install.binary.stat().st_mtime_ns
    assert install_triton(tmp_path) == install
    assert install.binary.stat().st_mtime_ns == before


def test_another_python_is_refused_with_the_one_that_is_needed(tmp_path: Path) -> None:
    with pytest.raises(TritonInstallError, match=r"needs Python 3\.11, and this is 3\.12"):
        install_triton(tmp_path, python=(3, 12, 1))


def test_a_failed_download_leaves_nothing_behind_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "nothing"))
    with pytest.raises(TritonInstallError, match="No matching distribution"):
        install_triton(tmp_path)
    assert list((tmp_path / "triton").iterdir()) == []


def test_missing_libraries_are_read_from_what_the_linker_says() -> None:
    listing = (
        "\tlinux-vdso.so.1 (0x00007fd384ee4000)\n"
        "\tlibpython3.11.so.1.0 => not found\n"
        "\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fd38401e000)\n"
    )
    assert missing_libraries(listing) == ["libpython3.11.so.1.0"]


def test_a_program_that_is_none_cannot_run_here(tmp_path: Path) -> None:
    install = install_of_harmless_programs(tmp_path)
    check_libraries(install)
    install.stub.write_bytes(b"\x7fELF of another world")
    with pytest.raises(TritonInstallError, match="triton_python_backend_stub cannot run here"):
        check_libraries(install)


def test_the_server_listens_on_loopback_only_and_loads_the_four_models(tmp_path: Path) -> None:
    install = TritonInstall(tmp_path / "triton" / "0.7.0")
    command = triton_command(
        install, tmp_path / "repository", grpc_port=1111, http_port=2222, metrics_port=3333
    )
    for door, port in (("grpc", 1111), ("http", 2222), ("metrics", 3333)):
        assert f"--{door}-address=127.0.0.1" in command.argv
        assert f"--{door}-port={port}" in command.argv
    assert "--model-control-mode=explicit" in command.argv
    assert {arg for arg in command.argv if arg.startswith("--load-model=")} == {
        f"--load-model={model}" for model in MODELS
    }


def test_the_models_find_this_python_and_this_hemline(tmp_path: Path) -> None:
    command = triton_command(
        TritonInstall(tmp_path), tmp_path, grpc_port=1, http_port=2, metrics_port=3
    )
    assert command.env["PATH"].split(os.pathsep)[0] == str(Path(sys.prefix) / "bin")
    folder = Path(command.argv[1].removeprefix("--chdir="))
    assert (folder / "hemline" / "encoders" / "served.py").is_file()


def test_each_model_gets_the_threads_it_is_given(tmp_path: Path) -> None:
    command = triton_command(
        TritonInstall(tmp_path),
        tmp_path,
        grpc_port=1,
        http_port=2,
        metrics_port=3,
        threads_per_model=4,
    )
    assert command.env["OMP_NUM_THREADS"] == "4"


def test_a_control_key_closes_the_repository_calls_over_grpc_and_http(tmp_path: Path) -> None:
    def restricted(key: str | None) -> list[str]:
        command = triton_command(
            TritonInstall(tmp_path),
            tmp_path,
            grpc_port=1,
            http_port=2,
            metrics_port=3,
            control_key=key,
        )
        return [arg for arg in command.argv if "restricted" in arg and "model-repository" in arg]

    assert restricted(None) == []
    assert restricted("sesame") == [
        "--grpc-restricted-protocol=model-repository:hemline-control=sesame",
        "--http-restricted-api=model-repository:hemline-control=sesame",
    ]


def test_the_memory_of_a_killed_server_is_freed_and_no_others(tmp_path: Path) -> None:
    own = Path("/dev/shm") / f"hemline_triton_1_{tmp_path.name}"
    other = Path("/dev/shm") / f"hemline_triton_11_{tmp_path.name}"
    own.touch()
    other.touch()
    try:
        assert remove_shared_memory(grpc_port=1) >= 1
        assert not own.exists()
        assert other.exists()
    finally:
        other.unlink()
