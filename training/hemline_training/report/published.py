"""What is known of public data sets: their titles, and published figures on the splits that Hemline
is compared on.

A data set is recognised by its size and split, never by the name of a folder. Each figure belongs
to the method that is named with it, which is of the same family as our model and not always the
same recipe. Sources: Gowalla, RecZoo/BARS leaderboard and the papers of GF-CF and BSPM; Amazon
Baby, MMRec's table; MovieLens 100k, the README of Microsoft's recommenders (random 75/25, another
draw than ours).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hemline_training.report.evaluated import Evaluation, Figures


@dataclass(frozen=True)
class Published:
    """by_model: our model -> (whose figures, the figures). best: whoever is best of all."""

    data: str
    best: tuple[str, Figures]
    by_model: dict[str, tuple[str, Figures]] = field(default_factory=dict)


def _at_20(recall: float, ndcg: float) -> Figures:
    return {"recall@20": recall, "ndcg@20": ndcg}


def _baby(r10: float, r20: float, n10: float, n20: float) -> Figures:
    return {"recall@10": r10, "recall@20": r20, "ndcg@10": n10, "ndcg@20": n20}


# (users, items, split) -> what was published.
_KNOWN: dict[tuple[int, int, str], Published] = {
    (29858, 40981, "given"): Published(
        "Gowalla, LightGCN's split",
        ("BSPM", _at_20(0.1920, 0.1597)),
        {
            "item-knn": ("ItemKNN", _at_20(0.1570, 0.1214)),
            "ease": ("EASE", _at_20(0.1765, 0.1467)),
            "ncf-bce": ("NeuMF", _at_20(0.1399, 0.1212)),
            "lightgcn": ("LightGCN", _at_20(0.1820, 0.1547)),
            "gf-cf": ("GF-CF", _at_20(0.1849, 0.1518)),
            "bspm": ("BSPM", _at_20(0.1920, 0.1597)),
        },
    ),
    (19445, 7050, "given"): Published(
        "Amazon Baby, 5-core",
        ("EASE", _baby(0.0562, 0.0831, 0.0326, 0.0395)),
        {
            "ease": ("EASE", _baby(0.0562, 0.0831, 0.0326, 0.0395)),
            "lightgcn": ("LightGCN", _baby(0.0479, 0.0754, 0.0257, 0.0328)),
        },
    ),
    (943, 1682, "random"): Published(
        "MovieLens 100k, random 75/25",
        ("BiVAE", {"ndcg@10": 0.475}),
        {"lightgcn": ("LightGCN", {"ndcg@10": 0.420}), "ncf-bce": ("NCF", {"ndcg@10": 0.396})},
    ),
}


def published(evaluation: Evaluation) -> Published | None:
    """What was published on this very split; None where nothing was."""
    size = (evaluation.users or 0, evaluation.items or 0, evaluation.split)
    return _KNOWN.get(size)


# (users, items) -> the title of data of which nothing was published on a split of ours.
_TITLES = {(105571, 5850): "Rent the Runway"}


def title(evaluation: Evaluation) -> str:
    """The name of a public data set that is recognised, else that of the folder or file, in words
    instead of as a path has it."""
    known = published(evaluation)
    if known is not None:
        return known.data
    size = (evaluation.users or 0, evaluation.items or 0)
    words = evaluation.name.removeprefix("evaluate-").replace("_", " ").replace("-", " ").strip()
    return _TITLES.get(size, words or evaluation.name)
