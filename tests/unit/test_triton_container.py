"""How Triton is started in NVIDIA's image, without running it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hemline.errors import InvalidInputError
from hemline.triton_container import Config, command_of


def flags(config: Config) -> list[str]:
    return [word for word in command_of(config).argv if word.startswith("--")]


def control(config: Config) -> str:
    """What may load and unload models."""
    (flag,) = (f for f in flags(config) if f.startswith("--grpc-restricted-protocol=model-repo"))
    return flag.rpartition("=")[2]


def test_it_is_nvidias_server_without_http(tmp_path: Path) -> None:
    command = command_of(Config(models=tmp_path))
    assert "/opt/tritonserver/bin/tritonserver" in command.argv
    assert "--backend-directory=/opt/tritonserver/backends" in command.argv
    assert "--allow-http=false" in command.argv
    assert not [flag for flag in command.argv if flag.startswith("--http-")]


def test_the_control_key_comes_from_the_mounted_file(tmp_path: Path) -> None:
    key = tmp_path / "control-key"
    key.write_text("0123456789abcdef0123456789abcdef\n")
    config = Config(models=tmp_path, control_key_file=key)
    assert control(config) == "0123456789abcdef0123456789abcdef"


def test_without_a_file_nobody_knows_the_key(tmp_path: Path) -> None:
    config = Config(models=tmp_path)
    assert len(control(config)) == 64
    assert control(config) != control(config)


def test_a_key_that_can_be_guessed_is_refused(tmp_path: Path) -> None:
    key = tmp_path / "control-key"
    key.write_text("CHANGE-ME")
    with pytest.raises(InvalidInputError, match="holds 9 characters, and a key has at least 32"):
        command_of(Config(models=tmp_path, control_key_file=key))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "control-key"
    with pytest.raises(InvalidInputError, match=f"{missing}: No such file"):
        command_of(Config(models=tmp_path, control_key_file=missing))


def test_a_gpu_keeps_the_metrics_of_the_gpu(tmp_path: Path) -> None:
    assert "--allow-gpu-metrics=false" in flags(Config(models=tmp_path))
    assert "--allow-gpu-metrics=false" not in flags(Config(models=tmp_path, device="gpu"))
