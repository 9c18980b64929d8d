"""Folds, figures and off-policy estimates: by hand, and against trec_eval on random rankings."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytrec_eval
from scipy.sparse import csr_matrix

from hemline.cli.__main__ import main
from hemline.errors import DataError, InvalidInputError
from hemline_training import metrics
from hemline_training.comparison import CompareConfig, accuracy, compare
from hemline_training.data.schema import EVENTS, ITEMS, USERS, file_schema
from hemline_training.datasets import Fold, folds_of, read_events
from hemline_training.off_policy import Impressions, click_model, estimate, softmax_policy
from hemline_training.recommenders.base import Feedback, Recommender
from hemline_training.recommenders.explicit import BiasedMf
from hemline_training.splits import hold_out


def test_every_figure_agrees_with_trec_eval_on_random_rankings():
    rng = np.random.default_rng(0)
    users, items, length = 60, 40, 20
    wanted = (rng.random((users, items)) < 0.15).astype(np.float32)
    wanted[:, 0] = 1  # everybody has a target
    ranked = np.stack([rng.permutation(items)[:length] for _ in range(users)])
    ours = accuracy(ranked, csr_matrix(wanted), ks=(5, 10, 20))
    judged = {str(u): {str(i): 1 for i in np.flatnonzero(wanted[u])} for u in range(users)}
    run = {str(u): {str(i): float(-r) for r, i in enumerate(ranked[u])} for u in range(users)}
    for ours_name, theirs_name in [
        ("precision", "P"),
        ("recall", "recall"),
        ("ndcg", "ndcg_cut"),
        ("map", "map_cut"),
        ("hit_rate", "success"),
    ]:
        wanted_ks = {f"{theirs_name}.5,10,20"}
        theirs = pytrec_eval.RelevanceEvaluator(judged, wanted_ks).evaluate(run)
        for k in (5, 10, 20):
            expected = [theirs[str(u)][f"{theirs_name}_{k}"] for u in range(users)]
            assert ours[f"{ours_name}@{k}"] == pytest.approx(expected), f"{ours_name}@{k}"
    theirs = pytrec_eval.RelevanceEvaluator(judged, {"recip_rank"}).evaluate(run)
    whole = [theirs[str(u)]["recip_rank"] for u in range(users)]
    assert ours["mrr@20"] == pytest.approx(whole)


def test_novelty_popularity_and_diversity_by_hand():
    ranked = np.array([[0, 1], [2, -1]])
    had_by = np.array([4.0, 2.0, 0.0])
    assert metrics.novelty(ranked, had_by, 8, 2) == pytest.approx([(1 + 2) / 2, 3])
    assert metrics.mean_popularity(ranked, had_by, 2).tolist() == [3.0, 0.0]
    vectors = np.float32([[1, 0], [0.6, 0.8], [0, 1]])
    assert metrics.diversity(ranked, vectors, 2) == pytest.approx([0.4, 0.0])


def test_paired_resamples_hold_the_difference_of_equal_columns_at_zero():
    values = np.random.default_rng(0).random((50, 1))
    means = metrics.bootstrap_means(np.hstack([values, values]), samples=20)
    assert np.array_equal(means[:, 0], means[:, 1]) and means[:, 0].std() > 0


def given_split(folder, train="0 0 1\n1 1 2\n2 0\n", test="0 2\n1 0\n2\n"):
    (folder / "train.txt").write_text(train)
    (folder / "test.txt").write_text(test)
    return folder


def test_a_given_split_is_read_from_text_and_from_npy_alike(tmp_path):
    (from_text,) = folds_of(read_events(given_split(tmp_path)))
    assert from_text.train.likes.toarray().tolist() == [[1, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert from_text.test.toarray().tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]
    arrays = tmp_path / "npy"
    arrays.mkdir()
    np.save(arrays / "train.npy", np.array([[0, 0, 1, 1, 2], [0, 1, 1, 2, 0]]))
    np.save(arrays / "test.npy", np.array([[0, 1], [2, 0]]))
    (from_npy,) = folds_of(read_events(arrays))
    assert (from_npy.train.likes != from_text.train.likes).nnz == 0
    assert (from_npy.test != from_text.test).nnz == 0


@pytest.mark.parametrize(
    ("train", "message"),
    [("0 x\n", "train.txt line 1"), ("0 -1\n", "negative ids")],
)
def test_a_broken_line_is_named(tmp_path, train, message):
    with pytest.raises(DataError, match=message):
        read_events(given_split(tmp_path, train=train))


def test_a_folder_of_neither_kind_says_what_is_wanted(tmp_path):
    with pytest.raises(DataError, match=r"neither events\.parquet .* nor train"):
        read_events(tmp_path)
    np.save(tmp_path / "train.npy", np.zeros((3, 4), np.int64))
    np.save(tmp_path / "test.npy", np.zeros((2, 4), np.int64))
    with pytest.raises(DataError, match=r"int64 \(3, 4\), wanted integers \(2, N\)"):
        read_events(tmp_path)


def imported(folder, rows):
    """An imported folder of (user, item, kind, rating, occurred_ms)."""

    def table(schema, values):
        count = len(next(iter(values.values())))
        columns = {}
        for field in schema:
            empty = [] if pa.types.is_list(field.type) else None if field.nullable else "0"
            columns[field.name] = pa.array(values.get(field.name, [empty] * count))
            columns[field.name] = columns[field.name].cast(field.type)
        return pa.table(columns)

    users, items = sorted({row[0] for row in rows}), sorted({row[1] for row in rows})
    events = {
        name: [row[at] for row in rows]
        for at, name in enumerate(["user_id", "item_id", "kind", "rating", "occurred_ms"])
    }
    events |= {"weight": [1.0] * len(rows), "quantity": [1] * len(rows)}
    for name, schema, values in [
        ("users", USERS, {"user_id": users}),
        ("items", ITEMS, {"item_id": items, "title": items}),
        ("events", EVENTS, events),
    ]:
        written = table(schema, values).cast(file_schema(name))
        pq.write_table(written, folder / f"{name}.parquet")
    return folder


DAYS = [
    ("ann", "shirt", "click", None, 1),
    ("ann", "tie", "purchase", 4.0, 2),
    ("ann", "belt", "purchase", 2.0, 9),
    ("bob", "shirt", "view", None, 3),
    ("bob", "tie", "purchase", 5.0, 4),
    ("bob", "shirt", "dislike", None, 10),
]


def test_an_imported_folder_is_cut_in_time(tmp_path):
    events = read_events(imported(tmp_path, DAYS))
    (fold,) = folds_of(events, "time")
    assert fold.train.likes.sum() == 3 and fold.train.now_ms == 9
    # Items are belt, shirt, tie: Ann goes on to buy the belt; Bob's dislike is no target.
    assert fold.test.toarray().tolist() == [[1, 0, 0], [0, 0, 0]]
    assert fold.train.ratings.toarray().tolist() == [[0, 0, 4], [0, 0, 5]]
    assert fold.test_ratings.toarray().tolist() == [[2, 0, 0], [0, 0, 0]]


def test_leave_one_out_holds_each_users_last_like_and_none_of_who_has_one(tmp_path):
    (fold,) = folds_of(read_events(imported(tmp_path, DAYS)), "leave-one-out")
    assert fold.test.toarray().tolist() == [[1, 0, 0], [0, 0, 0]]
    assert fold.train.likes.toarray().tolist() == [[0, 1, 1], [0, 0, 1]]


def test_k_folds_test_every_event_once_and_never_what_was_learned(tmp_path):
    events = read_events(given_split(tmp_path))
    folds = list(folds_of(events, "k-fold", folds=3, seed=1))
    assert sum(fold.test for fold in folds).toarray().max() == 1
    assert sum(fold.test.nnz for fold in folds) == len(events)
    assert all(fold.test.multiply(fold.train.likes).nnz == 0 for fold in folds)


def test_a_split_names_what_the_events_lack(tmp_path):
    events = read_events(given_split(tmp_path))
    with pytest.raises(InvalidInputError, match="time needs times; 7 events have none"):
        next(folds_of(events, "time"))
    with pytest.raises(InvalidInputError, match="'best' is not one of given, time"):
        next(folds_of(events, "best"))


def test_holding_out_takes_a_share_of_everybody_with_two_likes():
    cells = (np.random.default_rng(0).random((40, 30)) < 0.4).astype(np.float32)
    cells[0] = np.eye(30)[3]  # a user with a single like
    likes = csr_matrix(cells)
    kept, held = hold_out(likes, 0.25, seed=0)
    assert np.array_equal((kept + held).toarray(), likes.toarray())
    counts, out = np.diff(likes.indptr), np.diff(held.indptr)
    assert out[0] == 0
    assert out[1:].tolist() == np.maximum(np.round(counts[1:] * 0.25), 1).tolist()
    of_some = np.diff(hold_out(likes, 0.25, seed=0, most_users=7)[1].indptr)
    assert (of_some > 0).sum() == 7 and of_some[0] == 0
    assert np.array_equal(of_some[of_some > 0], out[of_some > 0])


def test_histories_that_are_left_are_as_long_as_everybodys():
    rng = np.random.default_rng(1)
    lengths = rng.choice([3, 4, 5, 6, 7], 4_000, p=[0.5, 0.2, 0.15, 0.1, 0.05])
    cells = np.arange(10)[None, :] < lengths[:, None]
    kept, held = hold_out(csr_matrix(cells.astype(np.float32)), 0.1, 0, most_users=500)
    left = np.diff(kept.indptr)[np.diff(held.indptr) > 0]
    assert len(left) == 500 and (left == 2).sum() < 10  # nobody has two
    assert abs((left == 3).mean() - 0.5) < 0.1 and abs((left == 4).mean() - 0.2) < 0.1


class Oracle(Recommender):
    """Knows the answer, or its opposite."""

    def __init__(self, answer, sign):
        self.answer, self.sign = answer, sign

    def _fit(self, feedback):
        pass

    def score(self, users):
        return self.sign * np.asarray(self.answer[users].todense(), dtype=np.float32)

    def fold_in(self, newcomers):
        return np.zeros((newcomers.n_users, self.answer.shape[1]), np.float32)


def test_the_comparison_tells_right_from_wrong_by_segment_and_for_cold_items():
    likes = np.zeros((30, 12), np.float32)
    likes[:10, 0] = 1  # ten users with one item, ten with two, ten with none
    likes[10:20, [0, 1]] = 1
    test = np.zeros_like(likes)
    test[:, 5] = 1  # an item that nobody had: cold
    test[:15, 1] = 1 - likes[:15, 1]
    fold = Fold(Feedback(likes=csr_matrix(likes)), csr_matrix(test))
    signs = {"right": 1.0, "wrong": -1.0}
    result = compare(
        [fold], list(signs), CompareConfig(ks=(1, 3)), lambda n, _: Oracle(fold.test, signs[n])
    )
    right, wrong = result["models"]["right"], result["models"]["wrong"]
    assert right["metrics"]["ndcg@3"] == 1.0 and wrong["metrics"]["ndcg@3"] == 0.0
    assert right["ci"]["ndcg@3"] == [1.0, 1.0]
    assert result["cases"] == {"all": 30, "0": 10, "1": 10, "2-4": 10, "5-19": 0, "20+": 0}
    assert set(right["segments"]) == {"0", "1", "2-4"}
    assert right["cold_items"] == pytest.approx({**right["cold_items"], "recall@3": 1.0})
    assert right["cold_items"]["cases"] == 30
    (pair,) = result["paired"]
    assert pair["difference"] == 1.0 and pair["p"] <= 0.002
    assert set(pair["segments"]) == {"0", "1", "2-4"}
    assert pair["segments"]["1"] == {"difference": 1.0, "ci": [1.0, 1.0], "p": 0.002}
    assert right["peak_rss_mb"] > 10 and right["fit_seconds"] >= 0


def test_a_models_losses_are_kept_fold_by_fold_and_none_where_nothing_descends():
    class Descending(Oracle):
        def _fit(self, feedback):
            self.losses = [2.0, 1.0]

    test = csr_matrix(np.eye(4, dtype=np.float32))
    fold = Fold(Feedback(likes=csr_matrix((4, 4), dtype=np.float32)), test)
    makes = {"descends": Descending, "solved": Oracle}
    result = compare(
        [fold, fold], list(makes), CompareConfig(ks=(1,)), lambda n, _: makes[n](test, 1.0)
    )
    assert result["models"]["descends"]["losses"] == [[2.0, 1.0], [2.0, 1.0]]
    assert "losses" not in result["models"]["solved"]


@pytest.mark.parametrize("solver", ["als", "sgd"])
def test_the_squared_error_of_a_completion_falls_epoch_by_epoch(solver):
    rng = np.random.default_rng(0)
    ratings = csr_matrix(np.outer(1 + rng.random(20), 1 + rng.random(15)).astype(np.float32))
    model = BiasedMf(solver, factors=4, iterations=5).fit(Feedback(ratings, ratings=ratings))
    assert len(model.losses) == 5
    assert model.losses[-1] < model.losses[0]


def test_evaluate_writes_the_json_it_promises(tmp_path, capsys):
    folder = given_split(tmp_path)
    out = tmp_path / "out.json"
    call = ["evaluate", "--data", str(folder), "--model", "popular,ease", "--json", str(out)]
    assert main([*call, "--k", "1,2", "--seed", "3"]) == 0
    written = json.loads(out.read_text())
    assert written["split"] == "given" and written["seed"] == 3
    assert set(written["models"]) == {"popular", "ease"}
    ease = written["models"]["ease"]
    assert {"metrics", "fit_seconds", "peak_rss_mb", "ci"} <= set(ease)
    assert {"recall@1", "ndcg@2", "coverage@2", "novelty@2"} <= set(ease["metrics"])
    assert "popular" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "best"], "there is no model 'best'"),
        (["--model", "ease", "--k", "0"], "'0' is no list of whole numbers"),
        (["--model", "ease", "--split", "time"], "time needs times"),
    ],
)
def test_evaluate_called_wrongly_says_so(tmp_path, capsys, arguments, message):
    assert main(["evaluate", "--data", str(given_split(tmp_path)), *arguments]) == 1
    assert message in capsys.readouterr().err


def logged(n=40_000, seed=0):
    """Random policy over 4 items in 2 places; item 3 is clicked four times as often."""
    rng = np.random.default_rng(seed)
    item, place = rng.integers(0, 4, n), rng.integers(0, 2, n)
    rate = np.array([0.05, 0.05, 0.05, 0.2])[item] * np.array([1.0, 0.5])[place]
    click = (rng.random(n) < rate).astype(np.float64)
    return Impressions(item, place, click, np.full(n, 0.25), 4, 2)


def test_all_estimators_find_the_click_rate_of_a_policy_that_never_ran():
    log = logged()
    always = np.zeros((4, 2))
    always[3] = 1.0
    found = estimate(log, always, click_model(logged(seed=1)))
    truth = 0.2 * 0.75
    for name in ("ips", "snips", "dr"):
        assert found[name]["low"] < truth < found[name]["high"], name
    assert found["logged"]["value"] == pytest.approx(log.click.mean())
    width = {name: found[name]["high"] - found[name]["low"] for name in ("ips", "snips", "dr")}
    assert width["dr"] <= width["ips"] and width["snips"] <= width["ips"]


def test_the_logging_policy_itself_gets_its_own_click_rate():
    log = logged(2_000)
    found = estimate(log, np.full((4, 2), 0.25), click_model(log))
    assert found["ips"]["value"] == pytest.approx(log.click.mean())
    assert found["snips"]["value"] == pytest.approx(log.click.mean())
    assert found["ess"]["value"] == pytest.approx(2_000)


def test_a_softmax_policy_is_a_distribution_per_place_and_sharpens():
    rates = np.array([[0.1, 0.3], [0.2, 0.1]])
    policy = softmax_policy(rates, 2.0)
    assert policy.sum(axis=0) == pytest.approx([1, 1])
    assert policy[1, 0] > policy[0, 0] and policy[0, 1] > policy[1, 1]
    assert softmax_policy(rates, 0.0) == pytest.approx(np.full((2, 2), 0.5))


def test_an_impossible_propensity_is_named():
    with pytest.raises(InvalidInputError, match=r"propensity: 0\.0 in impression 1"):
        Impressions(np.zeros(2, int), np.zeros(2, int), np.zeros(2), np.array([0.5, 0.0]), 1, 1)
