"""The blend: standardisation, segments, contributions, and weights that training finds again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_matrix

from hemline.blend import MAX_Z, PARTS, SEGMENTS, blend_scores, segment_of, standardise
from hemline_training.blend import Blend, CandidatesConfig, Ranked, fit_blend, fit_weights
from hemline_training.interactions import Histories
from hemline_training.splits import Cases


def test_standardise_by_hand():
    assert standardise(np.float32([1, 2, 3])) == pytest.approx([-1.224745, 0.0, 1.224745])


def test_an_unknown_value_is_neutral_and_does_not_move_the_others():
    with_unknown = standardise(np.float32([1, np.nan, 2, 3, np.nan]))
    assert with_unknown == pytest.approx([-1.224745, 0.0, 0.0, 1.224745, 0.0])


def test_a_part_without_differences_says_nothing():
    assert standardise(np.float32([7, 7, 7])).tolist() == [0, 0, 0]
    assert standardise(np.float32([np.nan, np.nan])).tolist() == [0, 0]
    assert standardise(np.float32([3])).tolist() == [0]


def test_a_lone_outlier_is_clipped():
    values = np.zeros(100, dtype=np.float32)
    values[7] = 1.0  # z would be sqrt(99)
    assert standardise(values)[7] == MAX_Z


@given(
    hnp.arrays(np.float32, (3, 8), elements=st.floats(-1000, 1000, width=32)),
    st.floats(0.125, 8, width=32),
    st.floats(-100, 100, width=32),
)
def test_scale_and_offset_of_a_part_do_not_matter(values, scale, offset):
    spread = values.std(axis=1, keepdims=True)
    values = np.where(spread < 1, np.arange(8, dtype=np.float32), values)
    moved = (values * scale + offset).astype(np.float32)
    assert np.allclose(standardise(values), standardise(moved), atol=1e-2)


def test_lists_are_standardised_one_by_one():
    values = np.random.default_rng(0).normal(size=(4, 9)).astype(np.float32)
    values[1, 3:] = np.nan
    assert np.array_equal(standardise(values), np.stack([standardise(row) for row in values]))


def test_the_total_is_the_sum_of_the_contributions():
    parts = {"tower": np.float32([0.1, 0.5, 0.9]), "cf": np.float32([np.nan, 1.0, 3.0])}
    total, contributions = blend_scores(parts, {"tower": 2.0, "cf": 0.5, "trending": 9.0})
    assert total == pytest.approx(contributions["tower"] + contributions["cf"])
    assert contributions["tower"] == pytest.approx([-2.44949, 0, 2.44949], abs=1e-5)
    assert contributions["cf"] == pytest.approx([0, -0.5, 0.5])


def test_parts_of_different_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        blend_scores({"tower": np.zeros(3, np.float32), "cf": np.zeros(2, np.float32)}, {})
    with pytest.raises(ValueError, match="one length"):
        blend_scores({}, {})


@pytest.mark.parametrize(
    ("items", "segment"),
    [
        (0, "0"),
        (1, "1"),
        (2, "2-4"),
        (4, "2-4"),
        (5, "5-19"),
        (19, "5-19"),
        (20, "20+"),
        (999, "20+"),
    ],
)
def test_segments(items, segment):
    assert segment_of(items) == segment


def lists_drawn_from(weights: dict[str, float], lists: int = 3_000, length: int = 30) -> Ranked:
    """One target a list, drawn by a softmax over the true weighted sum."""
    rng = np.random.default_rng(5)
    z = rng.normal(size=(lists, length, len(PARTS))).astype(np.float32)
    truth = z @ np.array([weights.get(part, 0.0) for part in PARTS], dtype=np.float32)
    target = (truth + rng.gumbel(size=truth.shape)).argmax(axis=1)
    hit = np.zeros((lists, length), dtype=bool)
    hit[np.arange(lists), target] = True
    return Ranked({}, np.tile(np.arange(length), (lists, 1)), z, hit)


def test_the_weights_that_made_the_choices_are_found_again():
    truth = {"tower": 1.0, "cf": 0.5, "popularity": 0.25}
    found = fit_weights(lists_drawn_from(truth))
    for part in PARTS:
        assert found[part] == pytest.approx(truth.get(part, 0.0), abs=0.06)


def test_a_part_that_points_the_wrong_way_gets_no_weight():
    ranked = lists_drawn_from({"tower": 1.0, "cf": -1.0})
    assert fit_weights(ranked)["cf"] == 0.0


def test_padding_takes_no_part_in_the_fit():
    ranked = lists_drawn_from({"tower": 1.0}, lists=500)
    padded = Ranked(
        {},
        np.pad(ranked.candidates, ((0, 0), (0, 9)), constant_values=-1),
        np.pad(ranked.z, ((0, 0), (0, 9), (0, 0))),
        np.pad(ranked.hit, ((0, 0), (0, 9))),
    )
    assert fit_weights(padded) == pytest.approx(fit_weights(ranked), abs=1e-6)


def cases_with(history_items: list[int], targets: csr_matrix) -> Cases:
    """Cases whose histories hold so many distinct items."""
    indptr = np.concatenate([[0], np.cumsum(history_items)])
    rows = np.concatenate([np.arange(n) for n in history_items]).astype(np.int32)
    kinds, when = np.zeros(len(rows), np.int8), np.zeros(len(rows), np.int64)
    histories = Histories(indptr, rows, kinds, when, targets.shape[1])
    return Cases(np.arange(len(history_items)), histories, targets)


def test_each_segment_gets_its_own_weights_and_a_small_one_those_of_all():
    newcomers = lists_drawn_from({"popularity": 1.0}, lists=400)
    regulars = lists_drawn_from({"tower": 1.0}, lists=400)
    ranked = Ranked(
        {},
        np.concatenate([newcomers.candidates, regulars.candidates]),
        np.concatenate([newcomers.z, regulars.z]),
        np.concatenate([newcomers.hit, regulars.hit]),
    )
    sizes = [0] * 400 + [25] * 390 + [3] * 10
    cases = cases_with(sizes, csr_matrix(ranked.hit.astype(np.float32)))
    blend = fit_blend(ranked, cases, CandidatesConfig(), k=5)
    assert blend.cases == {"0": 400, "1": 0, "2-4": 10, "5-19": 0, "20+": 390}
    assert blend.weights["0"]["popularity"] > 0.8
    assert blend.weights["20+"]["tower"] > 0.8
    assert blend.weights["2-4"] == blend.weights["1"]  # both too small
    left_out = blend.manifest({})["left_out"]
    assert "tower" not in left_out and "popularity" not in left_out
    assert all(w[part] < 0.01 for part in left_out for w in blend.weights.values())
    assert all(sum(w.values()) == pytest.approx(1.0) for w in blend.weights.values())
    assert [s["name"] for s in blend.manifest({})["segments"]] == [name for name, _ in SEGMENTS]


def test_a_blended_list_is_the_order_of_blend_scores():
    ranked = lists_drawn_from({"tower": 1.0, "cf": 0.3}, lists=40, length=12)
    cases = cases_with([6] * 40, csr_matrix(ranked.hit.astype(np.float32)))
    blend = fit_blend(ranked, cases, CandidatesConfig(), k=5)
    lists = blend.rank(ranked, cases.segments, 5)
    # The z of the lists above are random, so standardise them before comparing with serving.
    z = np.stack([standardise(ranked.z[..., p]) for p in range(len(PARTS))], axis=-1)
    lists = blend.rank(Ranked({}, ranked.candidates, z, ranked.hit), cases.segments, 5)
    for case in range(40):
        parts = {part: ranked.z[case, :, p] for p, part in enumerate(PARTS)}
        total, _ = blend_scores(parts, blend.weights[segment_of(6)])
        assert lists[case].tolist() == np.argsort(-total, kind="stable")[:5].tolist()


def test_a_part_that_decides_nothing_is_named_as_left_out():
    weights = {
        name: dict.fromkeys(PARTS, 0.0) | {"tower": 0.995, "cf": 0.005} for name, _ in SEGMENTS
    }
    weights["20+"] = dict.fromkeys(PARTS, 0.0) | {"content": 1.0}
    told = Blend(
        weights, dict.fromkeys(weights, 9), dict.fromkeys(weights, 0.1), 20, CandidatesConfig()
    )
    assert told.manifest({})["left_out"] == ["cf", "neighbours", "popularity", "trending"]
