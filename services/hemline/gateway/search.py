"""Search and SimilarItems: query vectors in CLIP's spaces, and what lies near them.

A photo and a text together are asked for in one query, the photo among the items as a whole and the
text among their words: beside a mixture of both as one vector, known items come out on top more
often (`training/LOG.md`, 2026-11-21). A release without that space gets the mixture all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from hemline.contracts import NO_ROWS, Hits, Part, Rows, Space, VectorQuery, WeightedVector
from hemline.errors import UnavailableError
from hemline.filters import Filter
from hemline.gateway.answer import Answer, ScoredRow
from hemline.gateway.recommend import Stages
from hemline.gateway.shelf import Shelf
from hemline.gateway.trace import Trace
from hemline.shopper import read_shopper
from hemline.vectors import F32, normalise


@dataclass(frozen=True)
class SearchQuery:
    """A checked SearchRequest; text or image is given."""

    k: int
    request_id: str
    text: str = ""
    image: bytes = b""
    image_weight: float = 0.5
    filter: Filter | None = None
    user_id: str = ""
    user_weight: float = 0.0


@dataclass(frozen=True)
class SimilarQuery:
    """A checked SimilarItemsRequest."""

    row: int
    k: int
    request_id: str
    filter: Filter | None = None
    user_id: str = ""
    user_weight: float = 0.0
    exclude: Rows = field(default_factory=lambda: NO_ROWS)


async def search(query: SearchQuery, stages: Stages, deadline_s: float) -> Answer:
    """The k items nearest to a text, an image or both, within `deadline_s` seconds.

    Raises BadImageError for an image that cannot be decoded, UnavailableError when neither text
    nor image could be encoded: there is nothing to search for then.
    """
    trace = Trace(deadline_s)
    shelf = stages.shelf()
    version = shelf.release.version
    text_share = 0.0 if not query.text else 1.0 - query.image_weight if query.image else 1.0
    vectors_of: dict[Space, tuple[float, F32]] = {}
    if query.text:
        vectors = await trace.attempt(
            "clip_text",
            lambda timeout_s: stages.encoders.text_vectors([query.text], version, timeout_s),
            0.6,
            "image only" if query.image else "none",
        )
        if vectors is not None:
            vectors_of["text"] = (text_share, vectors[0])
    if query.image:
        vectors = await trace.attempt(
            "clip_image",
            lambda timeout_s: stages.encoders.image_vectors([query.image], version, timeout_s),
            0.8,
            "text only" if query.text else "none",
        )
        if vectors is not None:
            vectors_of["content"] = (1.0 - text_share, vectors[0])
    if not vectors_of:
        raise UnavailableError(
            "the query could not be encoded: "
            + "; ".join(f"{d.stage} {d.reason}" for d in trace.degraded)
        )
    what = " and ".join(
        name
        for name, given in ((f"“{query.text}”", query.text), ("your photo", query.image))
        if given
    )
    both = sum(share > 0 for share, _ in vectors_of.values()) == 2
    apart = both and "text" in shelf.release.release.spaces
    parts = _apart(vectors_of) if apart else [_mixed(vectors_of)]
    return await _nearest(parts, f"Matches {what}", query, NO_ROWS, stages, shelf, trace)


async def similar(query: SimilarQuery, stages: Stages, deadline_s: float) -> Answer:
    """The k items nearest to a given one, its own variants left out."""
    trace = Trace(deadline_s)
    shelf = stages.shelf()
    content = WeightedVector("content", np.asarray(shelf.release.item_content[query.row]))
    own = np.flatnonzero(shelf.variants == shelf.variants[query.row]).astype(np.int32)
    title = shelf.release.catalogue.titles[query.row]
    return await _nearest([content], f"Similar to “{title}”", query, own, stages, shelf, trace)


def _apart(vectors_of: Mapping[Space, tuple[float, F32]]) -> list[WeightedVector]:
    parts = vectors_of.items()
    return [WeightedVector(space, vector, share) for space, (share, vector) in parts]


def _mixed(vectors_of: Mapping[Space, tuple[float, F32]]) -> WeightedVector:
    together = sum(share * vector for share, vector in vectors_of.values())
    return WeightedVector("content", normalise(together))


async def _nearest(
    parts: Sequence[WeightedVector],
    reason: str,
    query: SearchQuery | SimilarQuery,
    exclude: Rows,
    stages: Stages,
    shelf: Shelf,
    trace: Trace,
) -> Answer:
    personal = False
    if query.user_id and query.user_weight > 0:
        state = await trace.attempt(
            "user_state", lambda _: stages.users.get(query.user_id), 0.3, "not personal"
        )
        profile = read_shopper(state, shelf.release).profile
        if profile is not None:
            parts = _with_taste(parts, profile, query.user_weight)
            personal = True
    first, *others = parts
    nearest = VectorQuery(
        first.space,
        first.vector,
        query.k,
        shelf.hard_filter(query.filter),
        exclude,
        collapse_variants=True,
        weight=first.weight,
        also=tuple(others),
    )
    with trace.stage("retrieval"):
        (hits,) = await stages.retrieval.search(shelf.release.id, [nearest], trace.left_s())
    alive = stages.shelf().release.alive
    shown = (hits.rows < len(alive)) & alive[np.minimum(hits.rows, len(alive) - 1)]
    if not shown.all():  # deleted here a moment ago, and the retrieval does not know yet
        hits = Hits(hits.rows[shown], hits.scores[shown], hits.matching)
    return Answer(
        request_id=query.request_id,
        release=shelf.release.id,
        items=tuple(
            ScoredRow(row, score, ("content",), reason)
            for row, score in zip(hits.rows.tolist(), hits.scores.tolist(), strict=True)
        ),
        parts={"content": Part(hits.scores, hits.scores)},
        degraded=tuple(trace.degraded),
        timings=trace.timings,
        personal=personal,
        candidates=hits.matching,
        history_events=0,
    )


def _with_taste(
    parts: Sequence[WeightedVector], profile: F32, user_weight: float
) -> list[WeightedVector]:
    """What is looked for, with a shopper's taste for so large a part of it."""
    if len(parts) == 1:  # in the profile's own space: one vector does
        vector = normalise((1 - user_weight) * parts[0].vector + user_weight * profile)
        return [replace(parts[0], vector=vector)]
    taste = WeightedVector("content", profile, user_weight)
    if user_weight == 1:
        return [taste]
    return [*(replace(part, weight=(1 - user_weight) * part.weight) for part in parts), taste]
