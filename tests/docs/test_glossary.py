"""The words of the console's pages are those of the glossary, one for each thing."""

import re
from pathlib import Path

import pytest

from scripts.docs.root_pages import ROOT
from scripts.docs.wording import texts_of_page

# What a page calls by another name, and its name here.
OTHERWISE = {
    r"arms?": "version",
    r"calls?|requests?": "query",
    r"SLOs?": "objective",
    r"deployments?": "release",
    r"instances?|pods?": "replica",
    r"classifiers?": "model",
    r"entr(y|ies)": "event",
    r"objects?|registry": "the thing itself",
    r"told": "what it heard, got or said",
}


PAGES = sorted((ROOT / "templates/console").rglob("*.html"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_uses_the_words_of_the_glossary(page: Path) -> None:
    text = " ".join(texts_of_page(page.read_text(encoding="utf-8")))
    wrong = {
        f"{found[0]}: {name}"
        for word, name in OTHERWISE.items()
        for found in re.finditer(rf"\b({word})\b", re.sub(r"{{.*?}}", "", text), re.IGNORECASE)
    }
    assert wrong == set()
