"""The recipes for adding something name what is there, in six steps at most."""

import re

import pytest
from django.template.loader import get_template

from tests.docs.documents import ROOT

SECTION = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Recipes\n")[2]
RECIPES = dict(re.findall(r"^### ([^\n]+)\n(.+?)(?=^##)", SECTION, re.MULTILINE | re.DOTALL))
EACH = pytest.mark.parametrize("title", RECIPES)
PATH = re.compile(r"`([\w.]+/[\w./]*)`")
# "`POLICIES` in `selection/policies/__init__.py`", and the same with "or" and in brackets.
NAMED = re.compile(r"`([A-Z]\w+)` \(?(?:in )?`([\w/]+\.py)`")
STEP = re.compile(r"^(\d)\. ", re.MULTILINE)
# URLs and placeholders, which are no files.
NO_FILES = {"its/path"}


def anchor(title: str) -> str:
    return re.sub(r"[^\w-]", "", title.lower().replace(" ", "-"))


def test_the_overview_has_each() -> None:
    overview, _, _ = SECTION.partition("\n### ")
    assert re.findall(r"\(#([\w-]+)\)", overview) == [anchor(title) for title in RECIPES]
    assert len(RECIPES) >= 8


@EACH
def test_it_has_six_steps_at_most(title: str) -> None:
    steps = STEP.findall(RECIPES[title])
    assert steps == [str(number + 1) for number in range(len(steps))]
    assert 2 <= len(steps) <= 6


@EACH
def test_its_paths_are_there(title: str) -> None:
    """A path with NAME, which stands for what is added, needs its folder alone to be there."""
    found = [path for path in PATH.findall(RECIPES[title]) if path not in NO_FILES]
    assert found
    for path in found:
        if path.endswith(".html") and "NAME" not in path:
            get_template(path)
        else:
            assert (ROOT / re.sub("/[^/]*NAME.*", "", path)).exists(), path


@EACH
def test_what_it_says_is_in_a_file_is_there(title: str) -> None:
    for name, file in NAMED.findall(RECIPES[title]):
        assert re.search(rf"\b{name}\b", (ROOT / file).read_text()), (name, file)


def test_the_names_are_looked_for() -> None:
    named = [pair for text in RECIPES.values() for pair in NAMED.findall(text)]
    assert ("POLICIES", "selection/policies/__init__.py") in named
    assert ("APPLICATION_PAGES", "console/application_pages.py") in named
    assert len(named) >= 8
