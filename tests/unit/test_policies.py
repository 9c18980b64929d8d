"""Models as policies on logged impressions: read from both kinds of data, judged by truth."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hemline.cli.__main__ import main
from hemline.errors import DataError, InvalidInputError
from hemline_training.data.schema import EVENTS, ITEMS, USERS, file_schema
from hemline_training.logged_impressions import Logged, read_logged
from hemline_training.off_policy import Impressions
from hemline_training.policies import evaluate_policies, softmax
from hemline_training.recommenders.base import Recommender

RATES = np.array([0.05, 0.05, 0.05, 0.35])


class Fixed(Recommender):
    """Scores every item the same for everybody."""

    def __init__(self, scores):
        self.scores = np.asarray(scores, dtype=np.float32)

    def _fit(self, feedback):
        pass

    def fold_in(self, newcomers):
        return np.tile(self.scores, (newcomers.n_users, 1))


def logged(n=40_000, seed=0):
    """A random policy over 4 items in 2 places for 5 users; the last item is clicked most."""
    rng = np.random.default_rng(seed)
    item, place, users = rng.integers(0, 4, n), rng.integers(0, 2, n), rng.integers(0, 5, n)
    click = (rng.random(n) < RATES[item]).astype(np.float64)
    log = Impressions(item, place, click, np.full(n, 0.25), 4, 2)
    return Logged(log, users, 5, np.arange(n, dtype=np.int64))


def test_every_estimator_finds_the_click_rate_of_a_model_that_never_chose():
    scores = np.float32([0.0, 0.0, 0.0, 1.0])
    truth = float(softmax(scores[None])[0] @ RATES)
    result = evaluate_policies(logged(), ["best"], lambda name, seed: Fixed(scores), samples=200)
    best, about = result["models"]["best"], result["off_policy"]
    for name in ("ctr_ips", "ctr_snips", "ctr_dr"):
        low, high = best["ci"][name]
        assert low < truth < high, name
    assert truth > about["logged"]["high"]  # better than chance, and seen to be
    assert about["impressions"] == about["learned_from"]["impressions"] == 20_000


def test_a_model_without_preferences_is_the_random_policy():
    result = evaluate_policies(logged(4_000), ["flat"], lambda *_: Fixed(np.ones(4)), samples=50)
    flat, about = result["models"]["flat"]["metrics"], result["off_policy"]
    assert flat["ctr_ips"] == pytest.approx(about["logged"]["value"])
    assert flat["ess"] == pytest.approx(2_000)


def test_a_model_learns_from_the_clicks_of_the_older_half_alone():
    class Seen(Fixed):
        def _fit(self, feedback):
            seen.append(feedback)

    seen: list = []
    data = logged(1_000)
    evaluate_policies(data, ["x"], lambda *_: Seen(np.ones(4)), samples=10)
    clicked = data.log.click[:500] > 0
    pairs = set(zip(data.users[:500][clicked], data.log.item[:500][clicked], strict=True))
    assert set(zip(*seen[0].likes.nonzero(), strict=True)) == pairs
    assert seen[0].now_ms == 499 and seen[0].times_ms.max() <= 499


def test_no_click_to_learn_from_is_refused():
    data = logged(100)
    quiet = Impressions(data.log.item, data.log.place, np.zeros(100), data.log.propensity, 4, 2)
    with pytest.raises(InvalidInputError, match="none of the first 50 was clicked"):
        evaluate_policies(
            Logged(quiet, data.users, 5, data.times_ms), ["x"], lambda *_: Fixed(np.ones(4))
        )


def test_softmax_is_a_distribution_whatever_the_scale():
    scores = np.float32([[1, 2, 3], [100, 200, 300], [5, 5, 5]])
    q = softmax(scores)
    assert q.sum(axis=1) == pytest.approx([1, 1, 1])
    assert q[0] == pytest.approx(q[1]) and q[2] == pytest.approx([1 / 3] * 3)


HEAD = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1\n"


def bandit(folder: Path, rows: list[str], name: str = "men.csv") -> Path:
    (folder / name).write_text(HEAD + "".join(f"{n},{row}\n" for n, row in enumerate(rows)))
    return folder


def test_the_open_bandit_format_is_read_in_time_order_with_users_by_their_features(tmp_path):
    rows = [
        "2019-11-24 00:00:02.5+00:00,7,3,1,0.5,a,x",
        "2019-11-24 00:00:01.000001+00:00,2,1,0,0.25,a,y",
        "2019-11-24 00:00:03+00:00,2,3,0,0.25,a,x",
    ]
    (tmp_path / "item_context.csv").write_text("item_id,price\n2,3\n")
    found = read_logged(bandit(tmp_path, rows))
    assert found is not None and found.n_users == 2
    assert found.log.item.tolist() == [2, 7, 2] and found.log.click.tolist() == [0, 1, 0]
    assert found.log.place.tolist() == [0, 1, 1] and found.log.n_items == 8
    assert found.users[1] == found.users[2] != found.users[0]
    assert np.diff(found.times_ms).tolist() == [1500, 500]


@pytest.mark.parametrize(
    ("row", "error", "message"),
    [
        ("yesterday,7,3,1,0.5,a,x", DataError, "men.csv"),
        ("2019-11-24 00:00:02+00:00,7,3,1,0,a,x", InvalidInputError, "propensity"),
        ("2019-11-24 00:00:02+00:00,7,3,2,0.5,a,x", InvalidInputError, "click: 2"),
        ("2019-11-24 00:00:02+00:00,,3,1,0.5,a,x", DataError, "item_id is empty"),
        ("2019-11-24 00:00:02+00:00,-7,3,1,0.5,a,x", InvalidInputError, "negative"),
    ],
)
def test_a_broken_log_of_impressions_is_refused_with_the_reason(tmp_path, row, error, message):
    with pytest.raises(error, match=message):
        read_logged(bandit(tmp_path, [row]))


def test_two_logs_in_one_folder_must_be_told_apart(tmp_path):
    row = "2019-11-24 00:00:02+00:00,7,3,1,0.5,a,x"
    bandit(tmp_path, [row])
    bandit(tmp_path, [row], "women.csv")
    with pytest.raises(DataError, match=r"several logs .*men\.csv, women\.csv.*name one"):
        read_logged(tmp_path)
    assert read_logged(tmp_path / "women.csv") is not None


def test_a_folder_without_impressions_has_none(tmp_path):
    (tmp_path / "train.txt").write_text("0 1\n")
    assert read_logged(tmp_path) is None


def test_evaluate_writes_the_estimates_of_an_open_bandit_log(tmp_path, capsys):
    rng = np.random.default_rng(1)
    rows = [
        f"2019-11-24 00:{n // 60:02d}:{n % 60:02d}+00:00,{rng.integers(4)},{1 + rng.integers(3)},"
        f"{int(rng.random() < 0.3)},0.25,{rng.integers(5)},x"
        for n in range(400)
    ]
    out = tmp_path / "out.json"
    call = ["evaluate", "--data", str(bandit(tmp_path, rows)), "--model", "popular,item-knn"]
    assert main([*call, "--json", str(out)]) == 0
    written = json.loads(out.read_text())
    assert set(written["models"]) == {"popular", "item-knn"} and written["seed"] == 0
    popular = written["models"]["popular"]
    assert {"ctr_ips", "ctr_snips", "ctr_dr", "ess"} == set(popular["metrics"])
    assert {"ci", "fit_seconds", "peak_rss_mb"} <= set(popular)
    assert written["data"]["events"] == 400 and written["off_policy"]["impressions"] == 200
    assert "doubly robust" in capsys.readouterr().out


def imported(folder: Path, n: int = 300) -> Path:
    """Imported events, every second of them an impression with a propensity."""
    rng = np.random.default_rng(2)
    users, items = [f"u{n}" for n in range(20)], [f"i{n}" for n in range(5)]
    kinds = rng.choice(["view", "click"], n).tolist()
    values = {
        "user_id": rng.choice(users, n).tolist(),
        "item_id": rng.choice(items, n).tolist(),
        "kind": kinds,
        "weight": [1.0] * n,
        "quantity": [1] * n,
        "occurred_ms": list(range(1, n + 1)),
        "position": [1] * n,
        "propensity": [0.2 if row % 2 else None for row in range(n)],
    }
    for name, schema, columns in [
        ("users", USERS, {"user_id": users}),
        ("items", ITEMS, {"item_id": items, "title": items}),
        ("events", EVENTS, values),
    ]:
        count = len(next(iter(columns.values())))
        arrays = []
        for field in schema:
            empty = [] if pa.types.is_list(field.type) else None if field.nullable else "0"
            arrays.append(pa.array(columns.get(field.name, [empty] * count)).cast(field.type))
        written = pa.table(arrays, schema=schema).cast(file_schema(name))
        pq.write_table(written, folder / f"{name}.parquet")
    return folder


def test_imported_events_with_a_propensity_are_ranked_and_estimated(tmp_path):
    folder = imported(tmp_path)
    found = read_logged(folder)
    assert found is not None and len(found.log) == 150 and found.user_table is not None
    assert 0 < found.log.click.mean() < 1
    out = tmp_path / "out.json"
    assert main(["evaluate", "--data", str(folder), "--model", "popular", "--json", str(out)]) == 0
    popular = json.loads(out.read_text())["models"]["popular"]
    assert {"ndcg@20", "ctr_dr"} <= set(popular["metrics"])
    assert {"ndcg@20", "ctr_dr"} <= set(popular["ci"])
