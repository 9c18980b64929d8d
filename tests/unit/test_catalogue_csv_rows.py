"""Reading CSV files that were not written with care."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hemline.errors import CatalogueError
from hemline_training.catalogue.csv_rows import MAX_LINE_BYTES, BadLine, read_rows


def read(
    data: bytes, folder: Path, is_row: Callable[[dict[str, str]], bool] = lambda _: True
) -> tuple[list[list[str]], list[BadLine]]:
    """The rows of a file with the columns a, b, c, and its bad lines."""
    path = folder / "rows.csv"
    path.write_bytes(data)
    bad: list[BadLine] = []
    rows = read_rows(path, ["a", "b", "c"], bad.append, is_row=is_row)
    return [list(row.values()) for row in rows], bad


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,2", "too few columns"),
        (b"1,2,3,4", "too many columns"),
        (b"1,2,\x003", "NUL bytes"),
        (b"1,caf\xe9,3", "not UTF-8"),
        (b'1,"2,3', "broken quotes"),
        (b'1,"2"x,3', "broken quotes"),
        (b"1," + b"x" * MAX_LINE_BYTES + b",3", f"a line longer than {MAX_LINE_BYTES} bytes"),
        (b"1," + b"x" * 3 * MAX_LINE_BYTES + b",3", f"a line longer than {MAX_LINE_BYTES} bytes"),
    ],
)
def test_a_bad_line_is_reported_and_its_neighbours_are_read(
    line: bytes, reason: str, tmp_path: Path
) -> None:
    rows, bad = read(b"a,b,c\nk,l,m\n" + line + b"\nx,y,z\n", tmp_path)

    assert rows == [["k", "l", "m"], ["x", "y", "z"]]
    assert [(b.number, b.reason) for b in bad] == [(3, reason)]


def test_an_unclosed_quote_at_the_end_of_the_file_costs_one_line(tmp_path: Path) -> None:
    rows, bad = read(b'a,b,c\nk,l,m\n1,"2,3', tmp_path)

    assert rows == [["k", "l", "m"]]
    assert [b.reason for b in bad] == ["broken quotes"]


def test_an_unclosed_quote_does_not_swallow_rows_up_to_the_next_quote(tmp_path: Path) -> None:
    rows, bad = read(b'a,b,c\n1,"2,3\nk,l,m\nn,"o",p\nq,"r, s",t\n', tmp_path)

    assert rows == [["k", "l", "m"], ["n", "o", "p"], ["q", "r, s", "t"]]
    assert [b.number for b in bad] == [2]


def test_a_quoted_field_may_span_lines(tmp_path: Path) -> None:
    rows, bad = read(b'a,b,c\n1,"two\nlines \xe2\x80\xa8and a ""quote""",3\nx,y,z\n', tmp_path)

    assert rows == [["1", 'two\nlines \u2028and a "quote"', "3"], ["x", "y", "z"]]
    assert bad == []


def test_the_rest_of_a_row_is_told_from_a_row_by_its_id(tmp_path: Path) -> None:
    def has_number(row: dict[str, str]) -> bool:
        return row["a"].isdecimal()

    rows, bad = read(b'a,b,c\n1,"two\nlines, like a row",3\n4,5"x,6\n', tmp_path, has_number)
    assert rows == [["1", "two\nlines, like a row", "3"], ["4", '5"x', "6"]]
    assert bad == []

    rows, bad = read(b'a,b,c\n1,"2,3\n4,5",6\nrest,of,it\n', tmp_path, has_number)
    assert rows == [["4", '5"', "6"]]
    assert [b.reason for b in bad] == ["broken quotes", "no row of this table"]


def test_byte_order_mark_windows_line_ends_and_blank_lines_are_no_faults(tmp_path: Path) -> None:
    rows, bad = read(b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n\r\n \r\nx,y,z", tmp_path)

    assert rows == [["1", "2", "3"], ["x", "y", "z"]]
    assert bad == []


def test_columns_are_found_by_name_and_unknown_ones_are_told(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("c, a ,extra,b\n3,1,?,2\n")
    unknown: list[str] = []

    [row] = read_rows(path, ["a", "b", "c"], pytest.fail, unknown.extend)

    assert row == {"c": "3", "a": "1", "extra": "?", "b": "2"}
    assert unknown == ["extra"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", r"lacks the column\(s\) a, b, c"),
        (b"a,c\n1,3\n", r"lacks the column\(s\) b"),
        (b"a,b,c,a\n", "names a column twice"),
        ("a,b,c\n".encode("utf-16"), r"lacks the column\(s\) a, b, c"),
    ],
)
def test_a_header_that_will_not_do_is_an_error(data: bytes, message: str, tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match=message):
        read(data, tmp_path)


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="No such file"):
        list(read_rows(tmp_path / "rows.csv", ["a"], pytest.fail))


fields = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\n\r"), max_size=12)
whole_rows = st.lists(st.tuples(fields, fields, fields), max_size=6)


@given(rows=whole_rows)
def test_what_a_csv_writer_wrote_is_read_back(rows, tmp_path_factory) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("a", "b", "c"), *rows])

    read_back, bad = read(text.getvalue().encode(), tmp_path_factory.mktemp("csv"))

    assert read_back == [list(row) for row in rows]
    assert bad == []


@given(rows=whole_rows, junk=st.binary(max_size=20), place=st.integers(0, 6))
def test_junk_between_rows_never_costs_a_row(rows, junk, place, tmp_path_factory) -> None:
    lines = []
    for row in rows:
        text = io.StringIO()
        csv.writer(text, lineterminator="", quoting=csv.QUOTE_ALL).writerow(row)
        lines.append(text.getvalue().encode())
    lines.insert(place, junk)

    read_back, _ = read(b"a,b,c\n" + b"\n".join(lines), tmp_path_factory.mktemp("csv"))

    left = iter(read_back)
    assert all(list(row) in left for row in rows)  # in order, with at most the junk between
