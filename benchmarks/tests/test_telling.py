"""Percentiles, what holds of an experiment, and tables in pages: exchanged at their mark."""

import math

import pytest

from benchmarks.telling import (
    Target,
    markdown,
    replaced,
)

PAGE = "before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\n"


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


def test_the_text_at_a_mark_is_exchanged_and_nothing_else():
    new = replaced(PAGE, mark="one", text=markdown([("x", "y"), ("1", "2")]))
    assert new == PAGE.replace("old\n", "| x | y |\n| --- | --- |\n| 1 | 2 |\n")
    assert replaced(new, mark="one", text="old\n") == PAGE


@pytest.mark.parametrize("page", ["", "<!-- one -->\nnever closed\n", "<!-- /one -->\n"])
def test_a_page_without_the_mark_is_refused(page):
    with pytest.raises(ValueError, match="no place for one"):
        replaced(page, mark="one", text="new\n")
