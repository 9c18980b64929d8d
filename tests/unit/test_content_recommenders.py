"""Content recommenders and clusters: weights by hand, Annoy beside the exact answer, groups."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError
from hemline.vectors import normalise
from hemline_training.clusters import OUTLIER, dbscan, hdbscan
from hemline_training.recommenders.base import Feedback
from hemline_training.recommenders.content import ContentCosine, concatenated
from hemline_training.recommenders.tfidf import TfidfOneHot, item_features


def unit(rows: int, dim: int, seed: int) -> np.ndarray:
    return normalise(np.random.default_rng(seed).normal(size=(rows, dim)))


def test_the_cosine_of_concatenated_vectors_is_the_weighted_mean_of_both_cosines():
    image, text = unit(6, 5, 0), unit(6, 9, 1)
    both = concatenated(image, text, image_weight=0.3)
    assert both.shape == (6, 14)
    assert both @ both.T == pytest.approx(0.3 * image @ image.T + 0.7 * text @ text.T, abs=1e-6)


def test_an_item_without_a_photo_is_described_by_its_text_alone():
    image, text = unit(3, 4, 0), unit(3, 4, 1)
    image[1] = 0
    both = concatenated(image, text, 0.5)
    assert np.linalg.norm(both, axis=1) == pytest.approx([1, 1, 1], abs=1e-6)
    assert both[1, 4:] == pytest.approx(text[1], abs=1e-6)


def test_a_user_is_the_weighted_mean_of_what_they_like():
    vectors = unit(4, 6, 2)
    likes = csr_matrix(np.float32([[2, 1, 0, 0]]))
    model = ContentCosine().fit(Feedback(likes, content=vectors))
    profile = normalise(2 * vectors[0] + vectors[1])
    assert model.score([0])[0] == pytest.approx(vectors @ profile, abs=1e-6)


def test_the_image_weight_decides_whose_neighbours_come_first():
    likes = csr_matrix(np.float32([[1, 0, 0]]))
    image = np.float32([[1, 0], [1, 0], [0, 1]])  # item 1 looks like item 0
    text = np.float32([[1, 0], [0, 1], [1, 0]])  # item 2 reads like it
    by = {
        w: ContentCosine(image, text, w).fit(Feedback(likes)).recommend([0], 1)[0, 0]
        for w in (0.9, 0.1)
    }
    assert by == {0.9: 1, 0.1: 2}


def test_an_item_nobody_touched_is_recommended_like_any_other_of_its_content():
    content = np.repeat(np.eye(3, dtype=np.float32), 4, axis=0)
    likes = np.zeros((5, 12), np.float32)
    likes[:, 0] = likes[1:, 1] = 1  # 2 and 3 are cold
    scores = ContentCosine().fit(Feedback(csr_matrix(likes), content=content)).score([0])[0]
    assert scores[1] == scores[2] == scores[3] > scores[4]


def test_content_says_what_is_missing_or_does_not_fit():
    feedback = Feedback(csr_matrix(np.ones((1, 3), np.float32)))
    with pytest.raises(InvalidInputError, match="content: the model needs item vectors"):
        ContentCosine().fit(feedback)
    with pytest.raises(InvalidInputError, match="content: 2 rows for 3 items"):
        ContentCosine(image=unit(2, 4, 0)).fit(feedback)
    with pytest.raises(InvalidInputError, match=r"image_weight: is 1\.5"):
        concatenated(unit(2, 4, 0), unit(2, 4, 0), 1.5)


def shop(items: int = 400) -> pa.Table:
    rng = np.random.default_rng(0)
    kinds = np.array(["dress", "jeans", "boots", "scarf"])[rng.integers(0, 4, items)]
    colours = np.array(["red", "blue", "green", "black", "white"])[rng.integers(0, 5, items)]
    titles = [
        f"{c} {k} model {n % 37}" for n, (c, k) in enumerate(zip(colours, kinds, strict=True))
    ]
    return pa.table(
        {
            "title": titles,
            "description": [None] * items,
            "article_type": kinds,
            "colour": [c if n % 5 else None for n, c in enumerate(colours)],
        }
    )


def test_features_are_unit_tfidf_rows_beside_weighted_one_hots():
    items = pa.table({"title": ["red dress", "blue jeans"], "colour": ["red", None]})
    features = item_features(items, attribute_weight=0.5).toarray()
    assert features.shape == (2, 4 + 1)
    assert np.linalg.norm(features[:, :4], axis=1) == pytest.approx([1, 1])
    assert features[:, 4].tolist() == [0.5, 0]  # a missing value is no value
    with pytest.raises(InvalidInputError, match="items: have no word or value"):
        item_features(pa.table({"title": ["", None]}))


def test_annoy_finds_nearly_what_the_exact_cosine_finds():
    rng = np.random.default_rng(1)
    likes = np.zeros((50, 400), np.float32)
    for user in range(50):
        likes[user, rng.choice(400, 3, replace=False)] = 1
    model = TfidfOneHot(dim=24).fit(Feedback(csr_matrix(likes), items=shop()))
    users = np.arange(50)
    found = model.recommend(users, 10)
    scores = model.score(users)
    scores[likes > 0] = -np.inf
    best = np.sort(scores, axis=1)[:, -10:]
    got = np.take_along_axis(scores, found, axis=1)
    assert np.isfinite(got).all()  # nothing the user has
    assert (np.diff(got, axis=1) <= 1e-6).all()
    assert (got.sum(axis=1) / best.sum(axis=1)).mean() > 0.98


def test_few_trees_and_nodes_fall_back_to_everything_when_neighbours_run_out():
    likes = csr_matrix(np.float32(np.eye(1, 400)))
    model = TfidfOneHot(dim=8, trees=1, search_nodes=1).fit(Feedback(likes, items=shop()))
    hidden = np.ones((1, 400), np.float32)
    hidden[0, [7, 300]] = 0
    assert set(model.recommend([0], 3, exclude=csr_matrix(hidden))[0]) == {7, 300, -1}


def test_words_in_common_make_neighbours():
    items = shop()
    model = TfidfOneHot(dim=24).fit(Feedback(csr_matrix(np.float32(np.eye(1, 400))), items=items))
    kinds = items["article_type"].to_pylist()
    assert {kinds[row] for row in model.recommend([0], 10)[0]} == {kinds[0]}


def test_tfidf_without_items_says_so():
    with pytest.raises(InvalidInputError, match="items: TF-IDF needs"):
        TfidfOneHot().fit(Feedback(csr_matrix(np.ones((1, 3), np.float32))))


def blobs() -> tuple[np.ndarray, np.ndarray]:
    """Three directions, of 200, 100 and 50 points and of different tightness, and 40 anywhere."""
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(32, 32)))[0][:3]
    sizes, spread = (200, 100, 50), (0.02, 0.05, 0.1)
    points = [
        c + s * rng.normal(size=(n, 32)) for c, n, s in zip(centres, sizes, spread, strict=True)
    ]
    truth = np.repeat([0, 1, 2, -1], [*sizes, 40])
    return normalise(np.concatenate([*points, rng.normal(size=(40, 32))])), truth


def test_hdbscan_finds_the_planted_clusters_by_size_and_leaves_strays_out():
    vectors, truth = blobs()
    found = hdbscan(vectors, least=20)
    assert len(found.sizes) == 3
    assert (np.diff(found.sizes) <= 0).all()
    for planted in range(3):
        assert (found.labels[truth == planted] == planted).mean() > 0.9
    assert found.agreement(truth)["purity"] > 0.98
    assert found.agreement(truth)["ami"] > 0.95
    assert np.array_equal(hdbscan(vectors, least=20).labels, found.labels)


def test_dbscan_knows_one_density_only_and_loses_the_loose_cluster():
    vectors, truth = blobs()
    tight, loose = dbscan(vectors, least=20), hdbscan(vectors, least=20)
    assert (tight.labels[truth == 0] >= 0).all()
    assert tight.outliers > loose.outliers
    assert (tight.labels[truth == 2] == OUTLIER).mean() > 0.9


def test_too_few_items_make_no_clusters():
    with pytest.raises(InvalidInputError, match="30 items make no two clusters of at least 25"):
        hdbscan(unit(30, 4, 0))
