"""One Recommend, from the shopper's id to k items with reasons.

    user state -> user vector -> candidates from several sources at once -> hard filters
    -> rerank -> diversity and variants -> answer

A stage that fails is dropped and named in the answer; popular items are always there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hemline import metrics
from hemline.contracts import (
    NO_ROWS,
    Encoders,
    Hits,
    Part,
    Ranking,
    Reranker,
    RerankRequest,
    Retrieval,
    Rows,
    VectorQuery,
)
from hemline.distinct import Places
from hemline.gateway.answer import Answer, RecommendQuery, ScoredRow
from hemline.gateway.candidates import Candidates, top_eligible
from hemline.gateway.reasons import reasons_for
from hemline.gateway.select import select
from hemline.gateway.shelf import Shelf
from hemline.gateway.trace import Trace
from hemline.live_view import LiveView
from hemline.shopper import Shopper, read_shopper
from hemline.user_state import UserState, UserStates
from hemline.vectors import F32

MAX_FROM_SOURCE = 1000
DEFAULT_DIVERSITY = 0.15


@dataclass(frozen=True)
class Stages:
    """What a Recommend talks to; each may be in this process or behind a channel."""

    shelf: Callable[[], Shelf]  # the promoted release, ready to serve
    users: UserStates
    encoders: Encoders
    retrieval: Retrieval
    reranker: Reranker


async def recommend(query: RecommendQuery, stages: Stages, deadline_s: float) -> Answer:
    """The k best items for a shopper, within `deadline_s` seconds.

    Fewer than k only if fewer are eligible. Never raises for a failing stage or an unknown user.
    """
    trace = Trace(deadline_s)
    shelf = stages.shelf()
    release = shelf.release

    def count(source: str) -> int:  # what the blend was trained on suits k up to 50
        return min(int(shelf.candidate_counts[source] * max(1.0, query.k / 50)), MAX_FROM_SOURCE)

    state = await trace.attempt(
        "user_state", lambda _: stages.users.get(query.user_id), 0.3, "treated as a newcomer"
    )
    with trace.stage("history"):
        shopper = read_shopper(state, release, query.context)
        if shopper.stale_import:
            trace.degrade("imported_history", "release_mismatch", "left out of the taste")
        eligible = shelf.eligible(query.filter, query.exclude)
        if not query.include_seen and shopper.rows.size:
            eligible = eligible.copy()
            eligible[shopper.rows] = False

    vector = await user_vector(state, shopper, release, stages.encoders, query, trace)
    searching = search(stages.retrieval, shelf, query, shopper, vector, count, trace)
    asking = also_liked(stages.reranker, release, shopper, count, trace)
    if stages.retrieval.waits or stages.reranker.waits:
        searched, neighbours = await asyncio.gather(searching, asking)
    else:  # a task for each would only cost time
        searched, neighbours = await searching, await asking
    with trace.stage("candidates"):
        brought = {
            **searched,
            "neighbours": neighbours,
            "popular": top_eligible(shelf.by_popularity, eligible, count("popularity")),
            "trending": top_eligible(shelf.by_trend, eligible, count("trending")),
        }
        candidates = shelf.merge(brought, eligible)
        if shelf.distinct(candidates.rows) < query.k:  # the sources agree on a few products
            brought["popular"] = shelf.distinct_eligible(eligible, query.k)
            candidates = shelf.merge(brought, eligible)
        metrics.CANDIDATES.observe(len(candidates.rows))

    ranking = await rank(candidates, shopper, vector, release, stages.reranker, trace)
    with trace.stage("select"):
        diversity = DEFAULT_DIVERSITY if query.diversity is None else query.diversity
        chosen = select(
            candidates.rows,
            ranking.scores,
            release.item_content,
            shelf.variants,
            shelf.first_of_variants,
            query.k,
            diversity,
        )
    with trace.stage("reasons"):
        items = describe(chosen, candidates, ranking, shopper, release)

    return Answer(
        request_id=query.request_id,
        release=release.id,
        items=items,
        parts={
            name: Part(part.values[chosen], part.contributions[chosen])
            for name, part in ranking.parts.items()
        },
        degraded=tuple(trace.degraded),
        timings=trace.timings,
        personal=shopper.profile is not None,
        candidates=len(candidates.rows),
        history_events=shopper.known_items,
    )


async def user_vector(
    state: UserState | None,
    shopper: Shopper,
    release: LiveView,
    encoders: Encoders,
    query: RecommendQuery,
    trace: Trace,
) -> F32 | None:
    """The shopper's vector in tower space, float32 (tower_dim,), or None for a newcomer.

    The updater has usually stored it with the history; Triton is asked only for another release,
    for context that is not stored, or when the updater could not.
    """
    if shopper.profile is None:
        return None
    stored = state.vector if state is not None else None
    if stored is not None and stored.release == release.id and not query.context.size:
        return stored.vector
    profile = shopper.profile[None]
    vectors = await trace.attempt(
        "user_vector",
        lambda timeout_s: encoders.user_vectors(profile, release.version, timeout_s),
        0.4,
        "content space only",
    )
    return None if vectors is None else vectors[0]


async def search(
    retrieval: Retrieval,
    shelf: Shelf,
    query: RecommendQuery,
    shopper: Shopper,
    vector: F32 | None,
    count: Callable[[str], int],
    trace: Trace,
) -> dict[str, Rows]:
    """Nearest items in tower space and in CLIP space, in one call."""
    queries: list[VectorQuery] = []
    condition = shelf.hard_filter(query.filter)
    hidden = query.exclude
    if not query.include_seen:
        hidden = np.concatenate((hidden, shopper.rows))
    if vector is not None:
        queries.append(VectorQuery("tower", vector, count("tower"), condition, hidden))
    if shopper.profile is not None:
        profile = shopper.profile
        queries.append(VectorQuery("content", profile, count("content"), condition, hidden))
    if not queries:
        return {}
    hits = await trace.attempt(
        "retrieval",
        lambda timeout_s: retrieval.search(shelf.release.id, queries, timeout_s),
        0.5,
        "other candidate sources",
        retrieval.waits,
    )
    rows = len(shelf.release)  # the retrieval may know of items that came a moment ago
    return {
        q.space: found.rows[found.rows < rows]
        for q, found in zip(queries, hits or (), strict=False)
    }


async def also_liked(
    reranker: Reranker,
    release: LiveView,
    shopper: Shopper,
    count: Callable[[str], int],
    trace: Trace,
) -> Rows:
    """Item-CF neighbours of what the shopper liked."""
    liked = shopper.weights > 0
    if not liked.any():
        return NO_ROWS
    rows, weights = shopper.rows[liked], shopper.weights[liked]
    hits: Hits | None = await trace.attempt(
        "neighbours",
        lambda timeout_s: reranker.neighbours(
            release.id, rows, weights, count("neighbours"), timeout_s
        ),
        0.5,
        "other candidate sources",
        reranker.waits,
    )
    return NO_ROWS if hits is None else hits.rows


async def rank(
    candidates: Candidates,
    shopper: Shopper,
    vector: F32 | None,
    release: LiveView,
    reranker: Reranker,
    trace: Trace,
) -> Ranking:
    """Final scores of the candidates; without a reranker, the best score that is at hand."""
    rows = candidates.rows
    scores: dict[str, F32] = {}
    if vector is not None:
        scores["tower"] = release.dots("tower", rows, vector)
    if shopper.profile is not None:
        scores["content"] = release.dots("content", rows, shopper.profile)
    if len(rows) == 0:
        return Ranking(np.zeros(0, np.float32), {}, "0")
    request = RerankRequest(
        shopper.rows, shopper.weights, rows, scores, known_items=shopper.known_items
    )
    ranking = await trace.attempt(
        "reranker",
        lambda timeout_s: reranker.rerank(release.id, request, timeout_s),
        0.9,
        "retrieval scores" if scores else "popularity",
        reranker.waits,
    )
    if ranking is not None:
        return ranking
    name, values = next(
        iter(scores.items()), ("popularity", np.asarray(release.array("popularity")[rows]))
    )
    return Ranking(values, {name: Part(values, values)}, "none")


def describe(
    chosen: Places, candidates: Candidates, ranking: Ranking, shopper: Shopper, release: LiveView
) -> tuple[ScoredRow, ...]:
    """The chosen candidates with sources and reasons."""
    rows = candidates.rows[chosen]
    reasons = reasons_for(chosen, rows, ranking.parts, shopper, release)
    scored = zip(
        rows.tolist(),
        ranking.scores[chosen].tolist(),
        candidates.sources(chosen),
        reasons,
        strict=True,
    )
    return tuple(
        [ScoredRow(row, score, sources, *reason) for row, score, sources, reason in scored]
    )
