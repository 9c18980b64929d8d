"""Association rules over baskets: what is bought together, by Apriori and by FP-Growth.

    support(A) = share of baskets that hold A;  confidence(A -> B) = support(A ∪ B) / support(A)
    lift(A -> B) = confidence(A -> B) / support(B)

Agrawal & Srikant (VLDB 1994) and Han, Pei & Yin (SIGMOD 2000) find the same itemsets: each checks
the other; FP-Growth is the one to use on many items.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from mlxtend.frequent_patterns import apriori, association_rules, fpgrowth
from scipy.sparse import csr_matrix

from hemline.errors import InvalidInputError

ALGORITHMS = {"apriori": apriori, "fp-growth": fpgrowth}


@dataclass(frozen=True)
class Rule:
    """Who buys all of `left` also buys all of `right`. support is that of both together."""

    left: frozenset[str]
    right: frozenset[str]
    support: float
    confidence: float
    lift: float


def read_baskets(file: Path) -> list[list[str]]:
    """One basket a line, names separated by commas; white space around names, empty names and a
    name's repetitions are dropped."""
    with file.open(newline="", encoding="utf-8") as lines:
        stripped = [[name.strip() for name in row] for row in csv.reader(lines)]
    return [list(dict.fromkeys(name for name in row if name)) for row in stripped if any(row)]


def itemsets(
    baskets: Sequence[Iterable[str]], support: float, algorithm: str = "fp-growth"
) -> dict[frozenset[str], float]:
    """Every set of items in at least this share of baskets, with its support.

    Raises InvalidInputError for no basket, a support outside (0, 1] or an unknown algorithm.
    """
    if algorithm not in ALGORITHMS:
        raise InvalidInputError("algorithm", f"{algorithm!r} is not one of {', '.join(ALGORITHMS)}")
    if not 0 < support <= 1:
        raise InvalidInputError("support", f"{support} is outside (0, 1]")
    frame = _frequent(baskets, support, algorithm)
    return {
        frozenset(items): float(share)
        for items, share in zip(frame["itemsets"], frame["support"], strict=True)
    }


def rules(
    baskets: Sequence[Iterable[str]],
    support: float,
    confidence: float,
    algorithm: str = "fp-growth",
) -> list[Rule]:
    """Rules of at least this confidence among `itemsets`, the highest lift first; raises as it."""
    if not itemsets(baskets, support, algorithm):
        return []
    frame = association_rules(
        _frequent(baskets, support, algorithm), metric="confidence", min_threshold=confidence
    )
    found = [
        Rule(
            frozenset(row["antecedents"]),
            frozenset(row["consequents"]),
            float(row["support"]),
            float(row["confidence"]),
            float(row["lift"]),
        )
        for row in frame.to_dict("records")
    ]
    return sorted(found, key=lambda rule: (-rule.lift, sorted(rule.left), sorted(rule.right)))


def _frequent(baskets: Sequence[Iterable[str]], support: float, algorithm: str) -> Any:
    if not baskets:
        raise InvalidInputError("baskets", "there is none")
    held = [sorted(set(basket)) for basket in baskets]
    names = sorted({name for basket in held for name in basket})
    column = {name: number for number, name in enumerate(names)}
    indices = [column[name] for basket in held for name in basket]
    indptr = np.cumsum([0, *map(len, held)])
    cells = csr_matrix(
        (np.ones(len(indices), dtype=bool), indices, indptr), shape=(len(held), len(names))
    )
    table = pd.DataFrame.sparse.from_spmatrix(cells, columns=names)
    return ALGORITHMS[algorithm](table, min_support=support, use_colnames=True)
