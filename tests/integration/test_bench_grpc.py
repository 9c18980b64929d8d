"""`hemline bench grpc` with the real retrieval server, and what it is told that makes no sense."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from test_bench_serve import hemline

from hemline.bench.drawn_release import draw_release
from hemline.cli.__main__ import main
from hemline.releases import Release, open_release
from small_world import item_contents

pytestmark = pytest.mark.integration


async def test_both_sides_answer_alike_and_are_timed(
    small_release: Release, tmp_path: Path
) -> None:
    (tmp_path / "releases").symlink_to(small_release.folder.parent)
    code, out, err = await hemline(
        *("bench", "grpc", "--home", tmp_path, "--drawn", "3000x16", "--json"),
        *("--rounds", 2, "--seconds", 0.3, "-k", 10),
    )
    assert code == 0, err
    report = json.loads(out)
    assert (report["items"], report["dim"], report["in_flight"]) == (3000, 16, 16)
    assert report["compared"] == 16 and report["different"] == 0
    assert len(report["ratios"]) == len(report["qps_grpc"]) == len(report["qps_in_process"]) == 2
    assert all(qps > 0 for qps in report["qps_grpc"] + report["qps_in_process"])
    assert report["grpc"]["server_cpu_ms"] > 0 and report["grpc"]["client_cpu_ms"] > 0
    assert not list(tmp_path.glob("bench-*")), "what was drawn is removed"


def test_a_drawn_release_can_be_opened_and_says_what_it_is(tmp_path: Path) -> None:
    draw_release(tmp_path, item_contents(), 1_000, 24, seed=3)
    release = open_release(tmp_path)
    assert release.manifest["drawn"] and release.item_content.shape == (1_000, 24)
    assert release.catalogue.item_ids[7] == "drawn-7"
    np.testing.assert_allclose(np.linalg.norm(release.item_content, axis=1), 1.0, rtol=1e-5)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--drawn", "x"), "--drawn: 'x' is not like 200000x128"),
        (("--in-flight", "0"), "--in-flight: 0 is not positive"),
        (("-k", "1001"), "-k: 1001 is outside 1..1000"),
    ],
)
def test_what_cannot_be_measured_is_refused_by_name(
    flags: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", "grpc", *flags]) == 1
    assert said in capsys.readouterr().err
