"""The folders Triton reads: rendered from the templates, versions added whole and taken away."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from hemline.errors import ReleaseError
from hemline.triton import MAX_ROWS
from hemline.triton_repository import (
    MODELS,
    add_version,
    model_templates,
    prepare_model_repository,
    remove_version,
    version_folder,
    versions,
)


def release_folder(root: Path, version: int, digest: str = "00000000") -> Path:
    """As much of a release as the repository looks at."""
    folder = root / f"r{version:04d}-{digest}"
    (folder / "clip").mkdir(parents=True)
    (folder / "clip" / "encoder.json").write_text("{}")
    (folder / "towers.safetensors").write_bytes(b"")
    (folder / "manifest.json").write_text(json.dumps({"id": folder.name, "version": version}))
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository that serves version 3."""
    target = tmp_path / "repository"
    prepare_model_repository(model_templates(), target, [(3, release_folder(tmp_path, 3))])
    return target


def config(model: str) -> str:
    return (model_templates() / model / "config.pbtxt").read_text()


@pytest.mark.parametrize("model", MODELS)
def test_each_version_has_the_code_and_points_to_its_release(
    repository: Path, tmp_path: Path, model: str
) -> None:
    folder = repository / model / "3"
    assert (folder / "model.py").read_text() == (model_templates() / model / "model.py").read_text()
    assert version_folder(repository, 3, model) == tmp_path / "r0003-00000000"
    assert (folder / "__pycache__").is_file()  # or Python would change the version's folder
    assert (repository / model / "config.pbtxt").read_text() == config(model)
    assert versions(repository) == [3]


def test_on_a_gpu_machine_the_clip_models_are_put_on_the_gpus(tmp_path: Path) -> None:
    prepare_model_repository(model_templates(), tmp_path / "repository", [], device="gpu")
    for model in MODELS:
        rendered = (tmp_path / "repository" / model / "config.pbtxt").read_text()
        assert ("kind: KIND_GPU" in rendered) == model.startswith("clip_")
        assert ("kind: KIND_CPU" in rendered) == model.endswith("_tower")


def test_a_new_version_stands_beside_the_old_one_until_that_is_taken_away(
    repository: Path, tmp_path: Path
) -> None:
    add_version(model_templates(), repository, 12, release_folder(tmp_path, 12))
    assert versions(repository) == [3, 12]
    remove_version(repository, 3)
    assert versions(repository) == [12]
    remove_version(repository, 3)
    assert sorted(path.name for path in repository.iterdir()) == sorted(MODELS)


def test_adding_a_version_again_leaves_its_folders_untouched(
    repository: Path, tmp_path: Path
) -> None:
    before = {path: path.stat().st_mtime_ns for path in repository.rglob("*")}
    add_version(model_templates(), repository, 3, tmp_path / "r0003-00000000")
    assert {path: path.stat().st_mtime_ns for path in repository.rglob("*")} == before


def test_a_version_is_never_given_to_another_release(repository: Path, tmp_path: Path) -> None:
    other = release_folder(tmp_path, 3, digest="11111111")
    with pytest.raises(ReleaseError, match="version 3 of clip_image is already another release"):
        add_version(model_templates(), repository, 3, other)


def test_a_folder_of_another_version_or_without_weights_is_refused(
    repository: Path, tmp_path: Path
) -> None:
    release = release_folder(tmp_path, 5)
    with pytest.raises(ReleaseError, match="is version 5, not 4"):
        add_version(model_templates(), repository, 4, release)
    (release / "towers.safetensors").unlink()
    with pytest.raises(ReleaseError, match=r"has no towers\.safetensors"):
        add_version(model_templates(), repository, 5, release)
    with pytest.raises(ReleaseError, match="is no release"):
        add_version(model_templates(), repository, 6, tmp_path)
    assert versions(repository) == [3]
    assert not list(tmp_path.glob(".repository-*"))


def test_preparing_again_forgets_the_versions_of_before(repository: Path, tmp_path: Path) -> None:
    prepare_model_repository(model_templates(), repository, [(7, release_folder(tmp_path, 7))])
    assert versions(repository) == [7]


@pytest.mark.parametrize("model", MODELS)
def test_templates_keep_what_serving_relies_on(model: str) -> None:
    text = re.sub(r"#.*", "", config(model))
    assert f'name: "{model}"' in text
    assert "version_policy { all {} }" in text  # versions come and go; the config never changes
    assert "dynamic_batching {" in text
    # With a queue policy Triton 2.51 loses wake-ups and some calls wait 500 ms; see user_tower.
    assert "queue_policy" not in text


@pytest.mark.parametrize("model", sorted(set(MODELS) - {"clip_image"}))
def test_the_client_sends_as_many_rows_as_a_model_takes(model: str) -> None:
    assert f"max_batch_size: {MAX_ROWS}\n" in config(model)
