"""Releases are whole or absent, and a changed byte is found."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hemline.errors import NotFoundError, ReleaseError
from hemline.releases import (
    current_id,
    open_release,
    promote,
    release_ids,
    rollback,
    write_release,
)
from small_world import build_small_release


@pytest.fixture
def root(tmp_path: Path) -> Path:
    build_small_release(tmp_path)
    return tmp_path


def test_a_release_opens_with_arrays_aligned_to_its_items(root: Path) -> None:
    release = open_release(root)
    assert release.id == current_id(root)
    assert len(release.item_content) == len(release.item_tower) == len(release.catalogue) == 120


@pytest.mark.parametrize("name", ["item_tower.npy", "blend.json", "clip/encoder.json"])
def test_a_changed_byte_is_found(root: Path, name: str) -> None:
    path = root / str(current_id(root)) / name
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(ReleaseError, match=f"{name} has a wrong checksum"):
        open_release(root)


def test_a_missing_and_an_added_file_are_found(root: Path) -> None:
    folder = root / str(current_id(root))
    (folder / "note.txt").write_text("hello")
    with pytest.raises(ReleaseError, match=r"note.txt is not in the manifest"):
        open_release(root)
    (folder / "note.txt").unlink()
    (folder / "trending.npy").unlink()
    with pytest.raises(ReleaseError, match=r"trending.npy is missing"):
        open_release(root)


def test_a_build_that_fails_leaves_nothing_behind(root: Path) -> None:
    def fails(folder: Path) -> dict[str, object]:
        (folder / "items.parquet").write_bytes(b"half")
        raise RuntimeError("power cut")

    before = sorted(path.name for path in root.iterdir())
    with pytest.raises(RuntimeError, match="power cut"):
        write_release(root, fails)
    assert sorted(p.name for p in root.iterdir()) == before


def test_a_build_without_all_files_is_refused(root: Path) -> None:
    with pytest.raises(ReleaseError, match=r"lacks items\.parquet"):
        write_release(root, lambda folder: {"encoder": {}})
    assert len(release_ids(root)) == 1


def test_promotion_and_rollback_move_one_pointer(root: Path) -> None:
    first = open_release(root)
    second = build_small_release(root)
    assert (second.version, second.manifest["parent"]) == (first.version + 1, first.id)
    assert open_release(root).id == second.id
    assert rollback(root).id == first.id
    assert current_id(root) == first.id
    promote(root, second.id)
    records = [json.loads(line) for line in (root / "promotions.jsonl").read_text().splitlines()]
    assert [r["reason"] for r in records] == ["promote", "promote", "rollback", "promote"]
    assert [r["to"] for r in records] == [first.id, second.id, first.id, second.id]


def test_the_first_release_has_nothing_to_roll_back_to(root: Path) -> None:
    with pytest.raises(NotFoundError, match="no earlier release"):
        rollback(root)


@pytest.mark.parametrize("name", ["nonsense", "../etc", "r0042-00000000"])
def test_an_unknown_release_is_not_found(root: Path, name: str) -> None:
    with pytest.raises(NotFoundError, match="does not exist"):
        open_release(root, name)


def test_an_empty_folder_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="hemline train"):
        open_release(tmp_path)
