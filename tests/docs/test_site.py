"""The documentation as a site: it builds without a warning and needs nothing but itself."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from scripts.docs.root_pages import SITE_PATHS, relinked
from tests.docs.documents import ROOT

# Elements that load what they name as soon as the page is shown; a link is followed by people.
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Loads(HTMLParser):
    """The addresses that a page loads by itself, and the number of its inline scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.inline_scripts = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        address = given.get(LOADED.get(tag, ""))
        if address is not None and given.get("rel") not in ("prev", "next"):
            self.addresses.append(address)
        if tag == "script" and address is None and given.get("type") != "application/json":
            self.inline_scripts += 1
        self.inline_scripts += sum(name.startswith("on") for name in given)


def test_every_page_is_there(documentation: Path) -> None:
    sources = [file.relative_to(ROOT / "docs") for file in (ROOT / "docs").rglob("*.md")]
    pages = [*map(str, sources), *SITE_PATHS.values()]
    assert len(pages) > 20
    for page in pages:
        folder = re.sub(r"(README|index)?\.md$", "", page)
        assert (documentation / folder / "index.html").is_file(), page


def test_a_page_loads_files_of_the_site_and_holds_no_code(documentation: Path) -> None:
    loads = {page: Loads(page.read_text()) for page in documentation.rglob("*.html")}
    assert len(loads) > 20
    for page, found in loads.items():
        assert found.inline_scripts == 0, page
        assert len(found.addresses) > 3, page
        for address in found.addresses:
            file = page.parent / address.partition("#")[0]
            assert file.is_file(), (page, address)


def test_no_style_or_script_loads_from_elsewhere(documentation: Path) -> None:
    styles = list(documentation.rglob("*.css"))
    assert styles
    for style in styles:
        assert not re.search(r"url\(\W?(https?:)?//|@import", style.read_text()), style


def test_the_search_knows_every_page(documentation: Path) -> None:
    index = json.loads((documentation / "search/search_index.json").read_text())
    found = {entry["location"].partition("#")[0] for entry in index["docs"]}
    pages = {
        str(page.parent.relative_to(documentation)) + "/"
        for page in documentation.rglob("index.html")
    }
    assert {("" if page == "./" else page) for page in pages} <= found


@pytest.mark.parametrize(
    ("page", "text", "expected"),
    [
        ("explanation/architecture.md", "[a](docs/a.md#x)", "[a](../a.md#x)"),
        ("how-to/models.md", "[c](../../CONTRIBUTING.md)", "[c](../contributing/index.md)"),
        ("how-to/models.md", "[m](../../examples/model.py)", "m (`examples/model.py`)"),
        ("README.md", "![p](images/console.png)", "![p](images/console.png)"),
        ("README.md", "[n](nowhere.md)", "[n](nowhere.md)"),
        ("README.md", "```\n[a](../CONTRIBUTING.md)\n```", "```\n[a](../CONTRIBUTING.md)\n```"),
    ],
)  # fmt: skip
def test_links_lead_where_the_site_has_their_page(page: str, text: str, expected: str) -> None:
    assert relinked(text, page=page) == expected
