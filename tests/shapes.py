"""Filters of every shape over the small world, for hypothesis."""

from __future__ import annotations

from hypothesis import strategies as st

from hemline.filters import AllOf, AnyOf, In, InStock, Not, OfTenant, Range

_ends = st.none() | st.floats(0, 40)

leaves = st.one_of(
    st.builds(
        In,
        st.sampled_from(["colour", "gender", "article_type", "brand"]),
        st.lists(st.sampled_from(["Red", "blue", "Women", "Dress", "nothing"]), min_size=1).map(
            lambda values: tuple(sorted(set(values)))
        ),
    ),
    st.builds(InStock, st.booleans()),
    st.builds(OfTenant, st.sampled_from(["acme", "bolt", "nobody"])),
    st.tuples(st.sampled_from(["price", "year"]), _ends, _ends, st.booleans())
    .filter(lambda bounds: bounds[1] is None or bounds[2] is None or bounds[1] <= bounds[2])
    .map(lambda bounds: Range(*bounds)),
)
filters = st.recursive(
    leaves,
    lambda inner: st.one_of(
        st.builds(Not, inner),
        st.builds(AllOf, st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, st.lists(inner, max_size=3).map(tuple)),
    ),
    max_leaves=5,
)
