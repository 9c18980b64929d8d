"""A short soak of retrieval finds nothing, and finds each defect that is planted."""

from __future__ import annotations

import pytest
from retrieval_soak import soaked

pytestmark = pytest.mark.integration


async def test_no_answer_is_ever_wrong() -> None:
    async with soaked(seconds=8.0, seed=1) as report:
        assert report.problems == []
        assert report.searches >= 50 and report.changes >= 50 and report.kills and report.flips


@pytest.mark.parametrize(
    "defect", ["ghosts", "filters", "superseded", "masks", "release", "snapshots", "folds"]
)
async def test_a_planted_defect_is_found(defect: str) -> None:
    """The soak ends when it has found it, mostly within seconds."""
    async with soaked(seconds=120.0, seed=2, defect=defect) as report:
        assert report.problems, f"{report} found nothing wrong"
