"""What is written straight into the wire format is what protobuf would have written."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hemline.contracts import Part
from hemline.gateway.answer import Answer, ScoredRow
from hemline.gateway.answer_wire import ItemWriter
from hemline.gateway.candidates import SOURCES
from hemline.live_items import LiveItems
from hemline.releases import Release
from hemline.v1 import common_pb2, recommender_pb2
from hemline.wire import item_to_proto

NAMES = ("tower", "content", "cf", "neighbours", "popularity", "trending")
RESPONSES = (
    recommender_pb2.RecommendResponse,
    recommender_pb2.SearchResponse,
    recommender_pb2.SimilarItemsResponse,
)
numbers = st.floats(width=32, allow_nan=False)


def plainly(answer: Answer, release: Release) -> list[common_pb2.ScoredItem]:
    """The obvious way, message by message."""
    catalogue = release.catalogue
    return [
        common_pb2.ScoredItem(
            item=item_to_proto(catalogue.item(item.row)),
            score=item.score,
            sources=item.sources,
            parts=[
                common_pb2.ScorePart(
                    name=name,
                    value=part.values[place],
                    contribution=part.contributions[place],
                )
                for name, part in answer.parts.items()
            ],
            reason=item.reason,
            because_of_item_id=""
            if item.because_of is None
            else catalogue.item_ids[item.because_of],
        )
        for place, item in enumerate(answer.items)
    ]


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_every_answer_reads_as_if_written_plainly(
    small_release: Release, data: st.DataObject
) -> None:
    row = st.integers(0, len(small_release.catalogue) - 1)
    items = data.draw(
        st.lists(
            st.builds(
                ScoredRow,
                row,
                numbers,
                st.sets(st.sampled_from(SOURCES)).map(lambda names: tuple(sorted(names))),
                st.text(max_size=300),
                st.none() | row,
            ),
            max_size=12,
        ).map(tuple)
    )
    names = data.draw(st.lists(st.sampled_from(NAMES), unique=True))
    column = st.lists(numbers, min_size=len(items), max_size=len(items)).map(np.float32)
    parts = {name: Part(data.draw(column), data.draw(column)) for name in names}
    answer = Answer("request", small_release.id, items, parts, (), {}, True, 300, 5)

    view = LiveItems(small_release).view
    writer = ItemWriter(lambda: view)
    for response in RESPONSES:
        for _ in range(2):  # the second time from what the first remembered
            written = response.FromString(writer.items(answer))
            assert list(written.items) == plainly(answer, small_release)


def test_parts_that_are_not_as_long_as_the_answer_are_refused(small_release: Release) -> None:
    items = (ScoredRow(0, 1.0, ("tower",), "why"),) * 2
    parts = {"tower": Part(np.ones(3, np.float32), np.ones(3, np.float32))}
    answer = Answer("request", small_release.id, items, parts, (), {}, True, 300, 5)
    with pytest.raises(ValueError, match="broadcast"):
        ItemWriter(lambda: LiveItems(small_release).view).items(answer)
