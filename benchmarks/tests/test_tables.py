"""Tables in pages: exchanged at their mark, with nothing else touched."""

from __future__ import annotations

import pytest

from benchmarks.tables import found_at, markdown, read, replaced, table

PAGE = "before\n<!-- one -->\nold\n<!-- /one -->\nbetween\n<!-- two -->\n<!-- /two -->\n"


def test_the_text_at_a_mark_is_exchanged_and_nothing_else():
    new = replaced(PAGE, mark="one", text=markdown([("x", "y"), ("1", "2")]))
    assert new == PAGE.replace("old\n", "| x | y |\n| --- | --- |\n| 1 | 2 |\n")
    assert replaced(new, mark="one", text="old\n") == PAGE


def test_what_stands_at_a_mark_is_found():
    assert found_at(PAGE, mark="one") == "old\n"
    assert found_at(PAGE, mark="two") == ""


@pytest.mark.parametrize("page", ["", "<!-- one -->\nnever closed\n", "<!-- /one -->\n"])
def test_a_page_without_the_mark_is_refused(page):
    with pytest.raises(ValueError, match="no place for one"):
        replaced(page, mark="one", text="new\n")


def test_rows_are_read_as_they_were_written():
    rows = [("figure", "seen"), ("one", "1"), ("two", "")]
    assert read(markdown(rows)) == [["one", "1"], ["two", ""]]
    assert read("") == []


def test_columns_line_up():
    assert table([("a", "bb"), ("ccc", "d")]) == "a    bb\nccc   d"
