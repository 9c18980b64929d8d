"""The images can be built from what is there: linted, pinned, nobody's root, every source copied.

There is no container engine where the tests run, so nothing is built here.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from hemline.local import triton_server

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy" / "docker"
DOCKERFILES = sorted(DOCKER.glob("*.Dockerfile"))


def instructions(path: Path) -> list[tuple[str, str]]:
    """(INSTRUCTION, its text) in order, comments left out and continued lines joined."""
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    found = [line.partition(" ") for line in joined.splitlines() if line.strip()]
    return [(keyword, text) for keyword, _, text in found]


def copied(path: Path) -> list[str]:
    """What a Dockerfile takes from the checkout."""
    return [
        source
        for keyword, text in instructions(path)
        if keyword == "COPY" and not text.startswith("--from")
        for source in text.split()[:-1]
    ]


def sent() -> list[str]:
    """What .dockerignore lets into the build."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*", "everything is left out but what is named"
    return [line[1:] for line in lines if line.startswith("!")]


def below(path: str, folders: list[str]) -> bool:
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


@pytest.fixture(params=DOCKERFILES, ids=lambda path: path.stem)
def dockerfile(request: pytest.FixtureRequest) -> Path:
    return Path(request.param)


def test_there_is_one_for_python_and_one_for_triton() -> None:
    assert [path.stem for path in DOCKERFILES] == ["hemline", "triton"]


def test_hadolint_finds_nothing(dockerfile: Path) -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([hadolint, dockerfile], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_everything_copied_exists_and_is_sent(dockerfile: Path) -> None:
    for source in copied(dockerfile):
        assert (ROOT / source).exists(), source
        assert below(source, sent()), f".dockerignore leaves out {source}"


def test_everything_the_wheel_takes_is_copied(dockerfile: Path) -> None:
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    wanted = [*wheel["targets"]["wheel"]["packages"]]
    wanted += wheel["targets"]["wheel"]["force-include"]
    for path in wanted:
        assert below(path, copied(dockerfile)), path


def test_it_ends_as_nobodys_root_by_number(dockerfile: Path) -> None:
    users = [text for keyword, text in instructions(dockerfile) if keyword == "USER"]
    assert users == ["10001:10001"]
    assert instructions(dockerfile).index(("USER", users[0])) > max(
        place for place, (keyword, _) in enumerate(instructions(dockerfile)) if keyword == "FROM"
    )


def test_every_base_and_every_package_is_pinned(dockerfile: Path) -> None:
    arguments = [
        text.partition("=") for keyword, text in instructions(dockerfile) if keyword == "ARG"
    ]
    values = {name: value for name, _, value in arguments}
    bases = [text.split()[0] for keyword, text in instructions(dockerfile) if keyword == "FROM"]
    assert len(bases) == 2, "one stage builds, the other is what is shipped"
    for base in bases:
        image = values[base.strip("${}")]
        assert re.search(r":\d+\.\d+", image), f"{image} names no version"
    for _, text in instructions(dockerfile):
        for package in installed(text):
            assert package == "." or "==" in package, f"{package} is not pinned"


def installed(text: str) -> list[str]:
    """What the `pip install`s of a line of shell name, but not what their files list."""
    with_value = ("--constraint", "--requirement", "--target", "--python")
    found = []
    for command in text.split("&&"):
        _, is_install, arguments = command.partition("pip install ")
        words = arguments.split()
        for place, word in enumerate(words if is_install else []):
            if not word.startswith("--") and (place == 0 or words[place - 1] not in with_value):
                found.append(word)
    return found


def test_python_is_the_one_that_the_project_wants(dockerfile: Path) -> None:
    assert "python:3.11." in dockerfile.read_text()


def test_tritons_stub_is_of_the_server_that_the_tests_run() -> None:
    text = (DOCKER / "triton.Dockerfile").read_text()
    assert f"{triton_server.PACKAGE}=={triton_server.VERSION}" in text
    assert 'test "$TRITON_SERVER_VERSION" = 2.51.0' in text


def test_the_dependencies_are_printed_as_requirements() -> None:
    command = [sys.executable, str(DOCKER / "dependencies.py")]
    plain = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    encoders = subprocess.run(
        [*command, "encoders"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert "grpcio==" in plain and "torch==" not in plain
    assert "torch==" in encoders and plain in encoders
