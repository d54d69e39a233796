"""Percentiles, what holds of an experiment, and tables in pages: exchanged at their mark."""

from __future__ import annotations

import math

import pytest

from benchmarks.frames import Frame, mid, of, percentile, pivot
from benchmarks.telling import (
    Target,
    markdown,
    number,
    replaced,
    rows_of,
    table,
    target_rows,
    verdicts,
)

PAGE = "before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\n"
SEEN = Frame(
    [
        {"kind": "a", "size": 2, "ms": 1.0},
        {"kind": "a", "size": 1, "ms": 3.0},
        {"kind": "a", "size": 1, "ms": 5.0},
        {"kind": "b", "size": 1, "us": 7.0},
    ]
)


def test_a_percentile_is_a_value_that_was_seen():
    assert percentile([3.0, 1.0, 2.0, 4.0], 0.5) == 2.0
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0
    assert percentile([7.0], 0.99) == 7.0
    assert math.isnan(percentile([], 0.99))


def test_some_of_a_result_have_only_the_columns_that_they_have():
    assert list(of(SEEN, kind="b")) == ["kind", "size", "us"]
    assert len(of(SEEN, kind="a", size=1)) == 2
    assert mid(SEEN, "ms", kind="a", size=1) == 4.0
    assert math.isnan(mid(SEEN, "ms", kind="b"))


def test_series_and_their_rows_keep_their_order():
    found = pivot(SEEN, rows="size", columns="kind", values="ms")
    assert (list(found.index), list(found)) == ([2, 1], ["a", "b"])
    assert found.loc[1, "a"] == 3.0


def test_a_target_holds_up_to_its_bound():
    assert Target("x", 2.0, "≥ 2").holds
    assert not Target("x", 1.99, "≥ 2").holds
    assert Target("x", 22.0, "≤ 22 ms").holds
    assert not Target("x", 22.1, "≤ 22 ms").holds
    assert Target("x", 1.0, "= 1").holds
    assert not Target("x", 0.99, "= 1").holds
    assert Target("x", 2_999.0, "≤ 3,000/s").holds


def test_what_was_not_seen_does_not_hold():
    assert not any(Target("x", math.nan, wanted).holds for wanted in ("≥ 0", "≤ 1", "= 1"))
    assert Target("x", math.nan, "≤ 1").found == "nothing"


def test_a_bound_that_nobody_can_read_is_refused():
    with pytest.raises(ValueError, match="expected a bound"):
        assert Target("x", 1.0, "at most 1").holds


@pytest.mark.parametrize(
    ("value", "text"), [(241.0, "241"), (3.3456, "3.35"), (48934.2, "48,900"), (0.0832, "0.0832")]
)
def test_numbers_are_told_in_three_digits(value, text):
    assert number(value) == text


def test_the_tables_say_which_targets_were_missed_and_in_which_unit():
    text = verdicts({"fig0": [Target("x", 3.0, "≥ 2 ms"), Target("y", 1.0, "≥ 2")]})
    assert "3 ms" in text
    assert "1 of 2 targets MISSED: fig0, y." in text
    assert verdicts({"fig0": [Target("x", 3.0, "≥ 2")]}).endswith("All 1 targets hold.")


def test_the_papers_numbers_have_a_column_where_there_are_any():
    assert "the paper" not in target_rows([Target("x", 3.0, "≥ 2")])[0]
    header, row = target_rows([Target("x", 3.0, "≥ 2", "26")])
    assert row[header.index("the paper")] == "26"


def test_the_text_at_a_mark_is_exchanged_and_nothing_else():
    new = replaced(PAGE, mark="one", text=markdown([("x", "y"), ("1", "2")]))
    assert new == PAGE.replace("old\n", "| x | y |\n| --- | --- |\n| 1 | 2 |\n")
    assert replaced(new, mark="one", text="old\n") == PAGE


@pytest.mark.parametrize("page", ["", "<!-- one -->\nnever closed\n", "<!-- /one -->\n"])
def test_a_page_without_the_mark_is_refused(page):
    with pytest.raises(ValueError, match="no place for one"):
        replaced(page, mark="one", text="new\n")


def test_columns_line_up_and_what_is_not_known_is_a_dash():
    rows = rows_of(
        SEEN.head(1), {"kind": ("kind", str), "ms": ("ms", "{:.2f}"), "us": ("us", number)}
    )
    assert rows[1] == ["a", "1.00", "-"]
    assert table([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc   d"
