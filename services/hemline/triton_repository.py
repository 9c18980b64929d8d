"""Triton's model repository: which versions of the four models it can load, and from which release.

    <repository>/user_tower/config.pbtxt         from model_repository/, for the CPU or the GPU
    <repository>/user_tower/3/model.py           from model_repository/
    <repository>/user_tower/3/release.json       where release 3 is; weights are not copied

A new release is a new version beside the old ones (`add_version`, then `TritonEncoders.load`); an
old one is dropped by taking its folders away (`remove_version`, then `TritonEncoders.unload`).
Triton 2.51 on such a load: versions whose folder did not change go on serving untouched, so nothing
in a version's folder may ever change. A version folder without model.py makes the load hang for
good, so folders appear whole, by a rename.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Sequence
from pathlib import Path

from hemline.errors import NotFoundError, ReleaseError

MODELS = ("clip_image", "clip_text", "item_tower", "user_tower")
GPU_MODELS = ("clip_image", "clip_text")
POINTER = "release.json"


def model_templates() -> Path:
    """The folder model_repository/, in a checkout or inside the installed package."""
    package = Path(__file__).resolve().parent
    for folder in (package.parents[1] / "model_repository", package / "model_repository"):
        if (folder / MODELS[0] / "config.pbtxt").is_file():
            return folder
    raise NotFoundError("model_repository/ is neither in the checkout nor in the package")


def prepare_model_repository(
    templates: Path, target: Path, releases: Sequence[tuple[int, Path]], device: str = "cpu"
) -> None:
    """Write the repository that Triton starts with: exactly these (version, folder) releases.

    device: "cpu", or "gpu" for one instance of each CLIP model on every GPU. Replaces `target`;
    never do this below a running server. Raises ReleaseError for a folder that is no release of
    that version.
    """
    if device not in ("cpu", "gpu"):
        raise ValueError(f"device must be 'cpu' or 'gpu', not {device!r}")
    shutil.rmtree(target, ignore_errors=True)
    for model in MODELS:
        folder = target / model
        folder.mkdir(parents=True)
        config = (templates / model / "config.pbtxt").read_text(encoding="utf-8")
        if device == "gpu" and model in GPU_MODELS:
            config = config.replace("KIND_CPU", "KIND_GPU")
        (folder / "config.pbtxt").write_text(config, encoding="utf-8")
    for version, release in releases:
        add_version(templates, target, version, release)


def add_version(templates: Path, target: Path, version: int, release: Path) -> None:
    """Add a release to the repository of a server that may be running; it is not loaded yet.

    Does nothing if it is there already. Raises ReleaseError when the folder is no release of that
    version, or another release has the version.
    """
    release = release.resolve()
    _check_release(version, release)
    for model in MODELS:
        folder = target / model / str(version)
        if folder.is_dir():
            if version_folder(target, version, model) != release:
                raise ReleaseError(f"version {version} of {model} is already another release")
            continue
        staging = target.with_name(f".{target.name}-{uuid.uuid4().hex[:8]}")
        staging.mkdir()
        try:
            shutil.copy(templates / model / "model.py", staging / "model.py")
            (staging / POINTER).write_text(json.dumps({"folder": str(release)}) + "\n")
            # Python would write a folder of this name, and Triton, seeing the version changed,
            # would load it anew next time. PYTHONDONTWRITEBYTECODE is ignored there; a file helps.
            (staging / "__pycache__").touch()
            staging.rename(folder)
        except OSError:
            shutil.rmtree(staging, ignore_errors=True)
            raise


def remove_version(target: Path, version: int) -> None:
    """Take a release away from the repository; a running server keeps it until `unload`."""
    for model in MODELS:
        shutil.rmtree(target / model / str(version), ignore_errors=True)


def versions(target: Path) -> list[int]:
    """Versions that all four models have, oldest first."""
    per_model = [
        {int(path.name) for path in (target / model).glob("[0-9]*") if path.name.isdigit()}
        for model in MODELS
    ]
    return sorted(set.intersection(*per_model))


def version_folder(target: Path, version: int, model: str = MODELS[0]) -> Path:
    """The release folder that a version in the repository serves."""
    pointer = target / model / str(version) / POINTER
    return Path(json.loads(pointer.read_text())["folder"])


def _check_release(version: int, release: Path) -> None:
    try:
        manifest = json.loads((release / "manifest.json").read_text())
    except (OSError, ValueError) as error:
        raise ReleaseError(f"{release} is no release: {error}") from error
    if manifest.get("version") != version:
        raise ReleaseError(f"{release.name} is version {manifest.get('version')}, not {version}")
    for name in ("towers.safetensors", "clip/encoder.json"):
        if not (release / name).is_file():
            raise ReleaseError(f"release {release.name} has no {name}")
