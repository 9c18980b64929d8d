"""The words of the page, for who meets them for the first time."""

from __future__ import annotations

from hemline_training.report.elements import element
from hemline_training.report.page import Section

_WORDS = {
    "recall@20": "Of what a person went on to like, the share that was among the 20 items shown.",
    "NDCG@20": "As recall, but an item near the top counts more than one at the end of the list. "
    "1 is a perfect list. Among tens of thousands of items, a few hundredths are usual.",
    "hit rate@20": "The share of people for whom at least one of 20 items was right.",
    "MRR@20": "How high the first right item stands: 1 for the first place, 1/2 for the second …",
    "coverage@20": "The share of all items that anybody was shown at all: low means that everybody "
    "sees the same things.",
    "95% interval": "If other people of the same kind had been drawn, the figure would mostly have "
    "come out within it (bootstrap over people).",
    "split": "What the model could learn from and what it was asked: by time (the past and what "
    "came after), given with the data, at random, each person’s last like, or in folds.",
    "most popular": "The same bestsellers for everybody: what a model must beat to be of any use.",
    "content": "Likes what looks and reads like what you liked. Works for items nobody bought yet.",
    "item-CF, item-knn": "People who liked this also liked that.",
    "iALS, EASE, BSPM, RP3β …": "Learn from who likes what, without seeing the items.",
    "two-tower": "A network for people and one for items, trained so that they meet.",
    "blend": "All of them weighed against each other; the weights were learned on a part of the "
    "data kept apart from the one that these figures come from.",
}


def words() -> Section:
    terms = [
        part
        for word, meaning in _WORDS.items()
        for part in (element("dt", word), element("dd", meaning))
    ]
    lead = "Words and figures of this page, from the most needed to the least."
    return Section("words", "What do the words mean?", lead, element("dl", *terms))
