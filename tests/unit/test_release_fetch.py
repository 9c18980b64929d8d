"""A release from object storage is whole and right, or it is refused with the reason."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from hemline.cli.__main__ import main
from hemline.errors import InvalidInputError, NotFoundError, ReleaseError, UnavailableError
from hemline.object_storage import open_object, s3_request, signed_headers
from hemline.release_fetch import TRIES, fetch_release, prune_releases
from hemline.releases import current_id, open_release, release_ids
from small_world import build_small_release


class Storage(SimpleHTTPRequestHandler):
    """Serves a folder, and breaks it as `server.breakage` says."""

    def do_GET(self) -> None:
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        kind = self.server.breakage.get(Path(self.path).name)  # type: ignore[attr-defined]
        if isinstance(kind, int) or kind == "once 503":
            if kind == "once 503":
                del self.server.breakage[Path(self.path).name]  # type: ignore[attr-defined]
            self.send_error(kind if isinstance(kind, int) else 503)
        elif kind == "cut off":
            data = Path(self.translate_path(self.path)).read_bytes()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data[: len(data) // 2])
        else:
            super().do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


class Bucket:
    """A folder of releases and the URL where it is served."""

    def __init__(self, folder: Path, server: ThreadingHTTPServer) -> None:
        self.folder = folder
        self.release_id = str(current_id(folder))
        self.url = f"http://127.0.0.1:{server.server_port}/"
        self.breakage: dict[str, str | int] = server.breakage  # type: ignore[attr-defined]
        self.asked: list[str] = server.asked  # type: ignore[attr-defined]

    def path(self, name: str) -> Path:
        return self.folder / self.release_id / name

    def asked_for(self, name: str) -> int:
        return self.asked.count(f"/{self.release_id}/{name}")

    def fetch(self, root: Path) -> None:
        fetch_release(self.url, self.release_id, root, first_delay_s=0.01)


@pytest.fixture
def bucket(tmp_path: Path) -> Iterator[Bucket]:
    folder = tmp_path / "bucket"
    build_small_release(folder)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Storage, directory=str(folder)))
    server.breakage, server.asked = {}, []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield Bucket(folder, server)
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "releases"


def assert_nothing_left(root: Path) -> None:
    assert release_ids(root) == []
    assert [path.name for path in root.iterdir()] == []


def test_a_whole_release_arrives_and_opens_but_is_not_promoted(bucket: Bucket, root: Path) -> None:
    bucket.fetch(root)
    assert len(open_release(root, bucket.release_id).catalogue) == 120
    assert current_id(root) is None


def test_what_is_there_and_whole_is_not_fetched_again(bucket: Bucket, root: Path) -> None:
    bucket.fetch(root)
    before = len(bucket.asked)
    bucket.fetch(root)
    assert len(bucket.asked) == before


def test_what_was_damaged_here_is_fetched_again(bucket: Bucket, root: Path) -> None:
    bucket.fetch(root)
    (root / bucket.release_id / "blend.json").write_text("{}")
    bucket.fetch(root)
    open_release(root, bucket.release_id)


def test_a_file_missing_in_the_storage_is_named(bucket: Bucket, root: Path) -> None:
    bucket.path("item_tower.npy").unlink()
    with pytest.raises(ReleaseError, match=r"is partial: the manifest lists item_tower\.npy"):
        bucket.fetch(root)
    assert_nothing_left(root)


def test_an_upload_that_is_not_finished_has_no_manifest(bucket: Bucket, root: Path) -> None:
    bucket.path("manifest.json").unlink()
    with pytest.raises(NotFoundError, match="is the upload finished"):
        bucket.fetch(root)
    assert_nothing_left(root)


def test_an_altered_file_is_refused_by_its_checksum(bucket: Bucket, root: Path) -> None:
    data = bytearray(bucket.path("blend.json").read_bytes())
    data[0] ^= 1
    bucket.path("blend.json").write_bytes(bytes(data))
    with pytest.raises(ReleaseError, match=r"blend\.json has sha256 .* and the manifest says"):
        bucket.fetch(root)
    assert_nothing_left(root)


def test_a_file_longer_than_listed_is_refused(bucket: Bucket, root: Path) -> None:
    with bucket.path("blend.json").open("a") as file:
        file.write(" " * 100)
    with pytest.raises(ReleaseError, match=r"blend\.json is longer than the \d+ bytes listed"):
        bucket.fetch(root)


def test_a_file_shorter_than_listed_is_refused(bucket: Bucket, root: Path) -> None:
    data = bucket.path("blend.json").read_bytes()
    bucket.path("blend.json").write_bytes(data[:-10])
    with pytest.raises(UnavailableError, match=rf"blend\.json ended after {len(data) - 10} of"):
        bucket.fetch(root)
    assert_nothing_left(root)


def test_a_connection_that_breaks_off_is_tried_again_and_then_said(
    bucket: Bucket, root: Path
) -> None:
    bucket.breakage["item_content.npy"] = "cut off"
    with pytest.raises(UnavailableError, match=rf"item_content\.npy .*tried {TRIES} times"):
        bucket.fetch(root)
    assert bucket.asked_for("item_content.npy") == TRIES
    assert_nothing_left(root)


def test_a_storage_that_fails_once_does_not_matter(bucket: Bucket, root: Path) -> None:
    bucket.breakage["item_content.npy"] = "once 503"
    bucket.fetch(root)
    assert bucket.asked_for("item_content.npy") == 2


def test_a_refusal_is_final_and_names_the_credentials(bucket: Bucket, root: Path) -> None:
    bucket.breakage["manifest.json"] = 403
    with pytest.raises(InvalidInputError, match="HTTP 403 Forbidden; check it and the credentials"):
        bucket.fetch(root)
    assert bucket.asked_for("manifest.json") == 1


def test_nobody_at_the_url_is_said(root: Path) -> None:
    with pytest.raises(UnavailableError, match="Connection refused"):
        fetch_release("http://127.0.0.1:1", "r0001-00000000", root, first_delay_s=0.01)


@pytest.mark.parametrize("name", ["../evil", "/etc/evil", "clip/../../evil"])
def test_a_manifest_cannot_write_outside_its_release(bucket: Bucket, root: Path, name: str) -> None:
    manifest = json.loads(bucket.path("manifest.json").read_text())
    manifest["files"][name] = {"bytes": 1, "sha256": "0"}
    bucket.path("manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ReleaseError, match="outside the release"):
        bucket.fetch(root)
    assert_nothing_left(root)


@pytest.mark.parametrize("text", ["[]", "{", '{"files": {"a": 1}}', '{"files": {"a": {}}}'])
def test_a_manifest_that_is_none_is_refused(bucket: Bucket, root: Path, text: str) -> None:
    bucket.path("manifest.json").write_text(text)
    with pytest.raises(ReleaseError, match="is no manifest of a release"):
        bucket.fetch(root)


def test_a_release_larger_than_the_volume_is_refused_before_it_is_fetched(
    bucket: Bucket, root: Path
) -> None:
    manifest = json.loads(bucket.path("manifest.json").read_text())
    manifest["files"]["blend.json"]["bytes"] = 1 << 60
    bucket.path("manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(UnavailableError, match="give the volume more room"):
        bucket.fetch(root)


@pytest.mark.parametrize("url", ["ftp://example.com/x", "/a/path", "s3:/bucket", "s3://bucket"])
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidInputError, match="url: "), open_object(url, {}):
        pass


def test_pruning_keeps_what_is_named_and_drops_what_a_killed_pod_left(
    bucket: Bucket, root: Path
) -> None:
    bucket.fetch(root)
    shutil.copytree(root / bucket.release_id, root / "r0007-00000000")
    (root / ".staging-1234").mkdir()
    assert prune_releases(root, {bucket.release_id}) == ["r0007-00000000"]
    assert [path.name for path in root.iterdir()] == [bucket.release_id]


def test_the_verb_fetches_and_promotes(
    bucket: Bucket, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(root.parent)]
    assert main(["release", "fetch", bucket.url, bucket.release_id, "--promote", *home]) == 0
    assert f"the current release is {bucket.release_id}" in capsys.readouterr().out
    assert current_id(root) == bucket.release_id


def test_the_verb_exits_with_1_and_the_reason_for_a_partial_release(
    bucket: Bucket, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket.path("towers.safetensors").unlink()
    home = ["--home", str(root.parent)]
    assert main(["release", "fetch", bucket.url, bucket.release_id, "--promote", *home]) == 1
    assert "is partial: the manifest lists towers.safetensors" in capsys.readouterr().err
    assert current_id(root) is None


def test_a_signature_is_that_of_amazons_example() -> None:
    """GET Object of "Signature Calculations for the Authorization Header", Amazon S3 API."""
    environment = {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    }
    headers = signed_headers(
        "https://examplebucket.s3.amazonaws.com/test.txt",
        environment,
        "us-east-1",
        1369353600.0,  # 2013-05-24
        {"range": "bytes=0-9"},
    )
    assert headers["Authorization"].endswith(
        "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,"
        "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41"
    )


def test_another_store_is_asked_with_the_bucket_in_the_path() -> None:
    environment = {"AWS_ENDPOINT_URL": "http://minio:9000/"}
    request = s3_request("s3://shop/releases/r1/clip model", environment)
    assert request.full_url == "http://minio:9000/shop/releases/r1/clip%20model"
    assert not request.has_header("Authorization")


def test_half_a_pair_of_credentials_is_said() -> None:
    with pytest.raises(InvalidInputError, match="AWS_SECRET_ACCESS_KEY"):
        s3_request("s3://shop/x", {"AWS_ACCESS_KEY_ID": "someone"})
