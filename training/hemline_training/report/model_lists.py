"""What each model of a release would show each persona: the very parts and blend that serve.

Histories are ranked as training ranks its test cases (`hemline_training.blend.rank_cases`). A
shopper known from elsewhere has items that the catalogue lacks: they become rows of their own for
that one ranking, known by their content alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_matrix

from hemline.blend import SEGMENTS
from hemline.encoders.towers import load_tower
from hemline.releases import Release
from hemline.vectors import F32
from hemline_training.blend import Blend, CandidatesConfig, rank_cases
from hemline_training.cold_items import Twins
from hemline_training.ials import IalsConfig
from hemline_training.interactions import KINDS, Histories
from hemline_training.models import Models
from hemline_training.splits import Cases
from hemline_training.two_tower import Towers

# Parts of the blend in the order shown, with their name for people.
SHOWN = {
    "popularity": "Most popular",
    "content": "Content",
    "neighbours": "Item-CF",
    "cf": "iALS",
    "tower": "Two-tower",
    "blend": "Blend",
}
NEED_EVENTS = ("neighbours", "cf")  # know nothing of items outside the catalogue


@dataclass(frozen=True)
class Served:
    """The models of a release, and its blend."""

    models: Models
    blend: Blend

    @classmethod
    def of(cls, release: Release) -> Served:
        """Raises ReleaseError where the towers cannot be read."""
        cf = release.json("cf")
        towers = [load_tower(release.folder / "towers.safetensors", s) for s in ("user", "item")]
        models = Models(
            content=release.item_content,
            towers=Towers(towers[0], towers[1], 0),
            item_tower=release.item_tower,
            cf_factors=release.array("cf_item_factors"),
            ials=IalsConfig(alpha=float(cf["alpha"]), regularisation=float(cf["regularisation"])),
            neighbours_rows=release.array("neighbours_rows"),
            neighbours_scores=release.array("neighbours_scores"),
            popularity=release.array("popularity"),
            trending=release.array("trending"),
            twins=Twins.of_rows(release.twins),
        )
        told = release.json("blend")
        weights = {segment["name"]: segment["weights"] for segment in told["segments"]}
        blend = Blend(weights, {}, {}, 0, CandidatesConfig(**told["candidates"]))
        return cls(models, blend)

    def lists(self, rows: Sequence[int], foreign: F32 | None, k: int) -> dict[str, list[int]]:
        """SHOWN -> at most k catalogue rows, best first, nothing of the history among them.

        rows: clicked, oldest first. foreign: float32 (m, clip_dim), content vectors of purchases
        elsewhere. A part that knows nothing of the shopper is left out.
        """
        n = len(self.models.popularity)
        count = 0 if foreign is None else len(foreign)
        models = self.models if foreign is None else _with_foreign(self.models, foreign)
        cases = _case([*rows, *range(n, n + count)], n + count)
        ranked = rank_cases(models, cases, self.blend.candidates, k)
        found = {name: ranked.lists[name][0] for name in SHOWN if name != "blend"}
        found["blend"] = self.blend.rank(ranked, cases.segments, k)[0]
        unknown = [name for name in found if not rows and name in NEED_EVENTS]
        if not rows and foreign is None:
            unknown = [name for name in found if name not in ("popularity", "blend")]
        return {
            name: [row for row in found[name].tolist() if row >= 0]
            for name in SHOWN
            if name not in unknown
        }

    def weights(self, known: int) -> dict[str, float]:
        """The blend's weights for a shopper of whom so many items are known, largest first."""
        name = next(name for name, smallest in reversed(SEGMENTS) if known >= smallest)
        return dict(sorted(self.blend.weights[name].items(), key=lambda item: -item[1]))


def _case(rows: Sequence[int], n_items: int) -> Cases:
    """One shopper who clicked these rows, a minute between two clicks."""
    history = Histories(
        np.array([0, len(rows)]),
        np.array(rows, dtype=np.int32),
        np.full(len(rows), KINDS.index("click"), dtype=np.int8),
        60_000 * np.arange(len(rows), dtype=np.int64),
        n_items,
    )
    return Cases(np.zeros(1, np.int64), history, csr_matrix((1, n_items), dtype=bool))


def _with_foreign(models: Models, foreign: F32) -> Models:
    """The same with rows for items that have content and a tower vector, and no event at all."""
    count = len(foreign)

    def more(array: np.ndarray, value: float) -> np.ndarray:
        filler = np.full((count, *array.shape[1:]), value, dtype=array.dtype)
        return np.concatenate([array, filler])

    return replace(
        models,
        content=np.concatenate([models.content, foreign]),
        item_tower=np.concatenate([models.item_tower, models.towers.items(foreign)]),
        cf_factors=more(models.cf_factors, 0.0),
        neighbours_rows=more(models.neighbours_rows, -1),
        neighbours_scores=more(models.neighbours_scores, 0.0),
        popularity=more(models.popularity, 0.0),
        trending=more(models.trending, 0.0),
    )
