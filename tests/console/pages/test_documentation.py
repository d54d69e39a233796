"""/docs/ shows what `make docs` has built, to anybody, and says how to build it."""

import os
from pathlib import Path
from typing import Any

import pytest
from django.test import Client


@pytest.fixture
def site(settings: Any, tmp_path: Path) -> Path:
    """A site of two pages, and beside it a file that isn't part of it."""
    folder = tmp_path / "docs"
    (folder / "how-to").mkdir(parents=True)
    (folder / "index.html").write_text("<h1>Clipper</h1>")
    (folder / "how-to/index.html").write_text("<h1>How to</h1>")
    (folder / "site.css").write_text("body {}")
    (tmp_path / "secret_key").write_text("not for readers")
    settings.CLIPPER_DOCS = folder
    return folder


@pytest.mark.parametrize(
    ("path", "kind", "content"),
    [
        ("/docs/", "text/html", b"<h1>Clipper</h1>"),
        ("/docs/how-to/", "text/html", b"<h1>How to</h1>"),
        ("/docs/site.css", "text/css", b"body {}"),
    ],
)
def test_a_page_is_shown_to_anybody(site: Path, path: str, kind: str, content: bytes) -> None:
    answer = Client().get(path)
    assert (answer.status_code, answer.content) == (200, content)
    assert answer["Content-Type"].startswith(kind)
    assert "default-src 'none'; script-src 'self';" in answer["Content-Security-Policy"]


def test_a_page_that_has_not_changed_is_not_sent_again(site: Path) -> None:
    first = Client().get("/docs/")
    again = Client().get("/docs/", headers={"if-modified-since": first["Last-Modified"]})
    assert (again.status_code, again.content) == (304, b"")
    # A browser takes the headers of this answer for those of the page.
    assert again["Content-Security-Policy"] == first["Content-Security-Policy"]
    os.utime(site / "index.html", (2_000_000_000, 2_000_000_000))
    rebuilt = Client().get("/docs/", headers={"if-modified-since": first["Last-Modified"]})
    assert rebuilt.content == b"<h1>Clipper</h1>"


@pytest.mark.parametrize(
    ("path", "place"), [("/docs", "/docs/"), ("/docs/how-to", "/docs/how-to/")]
)
def test_a_folder_without_its_slash_leads_to_its_page(site: Path, path: str, place: str) -> None:
    answer = Client().get(path)
    assert answer.status_code in (301, 302)
    assert answer["Location"] == place


@pytest.mark.parametrize(
    "path",
    [
        "/docs/nothing/",
        "/docs/../secret_key",
        "/docs/%2e%2e/secret_key",
        "/docs//etc/passwd",
        "/docs/how-to/%00",
        f"/docs/{'long' * 1000}",
        "/docs/how-to/../../secret_key",
    ],
)
def test_nothing_beside_the_site_is_shown(site: Path, path: str) -> None:
    answer = Client().get(path)
    assert answer.status_code == 404
    assert b"not for readers" not in answer.content


def test_a_link_out_of_the_site_leads_nowhere(site: Path) -> None:
    (site / "out").symlink_to(site.parent / "secret_key")
    assert Client().get("/docs/out").status_code == 404


@pytest.mark.parametrize("path", ["/docs/", "/docs/how-to/"])
@pytest.mark.parametrize("in_checkout", [True, False])
def test_a_site_that_has_not_been_built_says_how_to(
    settings: Any, tmp_path: Path, path: str, in_checkout: bool
) -> None:
    settings.CLIPPER_DOCS = tmp_path / "build" / "docs"
    if in_checkout:
        (tmp_path / "mkdocs.yml").touch()
    answer = Client().get(path)
    assert answer.status_code == 503
    assert ("make docs" in answer.content.decode()) == in_checkout
    assert answer["Content-Type"].startswith("text/html")


def test_the_documentation_is_only_read(site: Path) -> None:
    assert Client().post("/docs/", {}).status_code == 405
