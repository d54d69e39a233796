"""Parts of the pages generated from the code: filled in, whole, and without gaps."""

import re
from pathlib import Path

import pytest

from clipper_site.settings import ENV
from core import errors
from core.errors import ClipperError
from scripts.docs.from_code import family
from scripts.docs.from_settings import SECTIONS
from scripts.docs.generated import PLACEHOLDER, filled, generators
from scripts.docs.markdown_tables import table
from tests.docs.documents import PAGES, rows

PLACES = [place[2] for file in PAGES for place in PLACEHOLDER.finditer(file.read_text())]
WITH_PLACES = [file for file in PAGES if PLACEHOLDER.search(file.read_text())]
# What some endpoint or command has none of.
MAY_BE_EMPTY = {"`Retry-After`"}
MAY_BE_EMPTY |= {"`method`", "what it needs"}


def test_each_is_used_once() -> None:
    assert sorted(PLACES) == sorted(generators())


@pytest.mark.parametrize("file", WITH_PLACES, ids=lambda file: file.name)
def test_what_is_committed_is_what_the_code_says(file: Path) -> None:
    text = file.read_text()
    assert filled(text) == text, "run .venv/bin/python -m scripts.docs.generated"


@pytest.mark.parametrize("name", PLACES)
def test_no_cell_is_empty_that_should_say_something(name: str) -> None:
    text = generators()[name]()
    lines = rows(text)
    assert len(lines) > 2 or "- `" in text
    head: list[str] = []
    for line, following in zip(lines, [*lines[1:], []], strict=bool(lines)):
        if following and set(following) == {"---"}:
            head = line
        elif set(line) != {"---"}:
            cells = dict(zip(head, line, strict=True))
            empty = {column for column, cell in cells.items() if not cell}
            assert empty <= MAY_BE_EMPTY, line


@pytest.mark.parametrize("error", list(family()), ids=lambda error: error.__name__)
def test_every_error_says_itself_what_is_wrong(error: type[ClipperError]) -> None:
    assert (vars(error)["__doc__"] or "").partition("\n\n")[0].endswith(".")


def test_the_tree_of_errors_is_the_one_that_its_module_draws() -> None:
    drawn = re.findall(r"^[│├└─ ]*(\w+) (\d{3}) (\w+)", errors.__doc__ or "", re.MULTILINE)
    there = [(error.__name__, str(error.status), error.code) for error in family()]
    assert sorted(drawn) == sorted(there)


def test_every_setting_has_one_text() -> None:
    described = [name for section in SECTIONS.values() for name in section]
    assert sorted(described) == sorted(ENV.known)


def test_a_cell_may_hold_a_bar_and_a_line_break() -> None:
    assert table(["a"], [["x | y\n z"]]) == "| a |\n| --- |\n| x \\| y z |\n"


def test_a_page_without_placeholders_stays_as_it_is() -> None:
    assert filled("# Title\n\n<!-- a comment -->\n") == "# Title\n\n<!-- a comment -->\n"
