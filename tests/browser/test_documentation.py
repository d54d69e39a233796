"""The documentation in a browser: it shows, follows the theme and is searched without a network."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, Request, expect
from pytest_django.live_server_helper import LiveServer

pytestmark = [pytest.mark.browser, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def read(open_page: Callable[..., Page], documentation: Path, settings: Any) -> Callable[..., Page]:
    settings.CLIPPER_DOCS = documentation
    return open_page


class Requests:
    """The requests of a page: each address, and those that failed."""

    def __init__(self, page: Page) -> None:
        self.addresses: list[str] = []
        self.failed: list[str] = []
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("requestfailed", self._failed)
        page.on("response", lambda r: self.failed.extend([r.url] * (r.status >= 400)))

    def _failed(self, request: Request) -> None:
        self.failed.append(f"{request.url}: {request.failure}")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_read_and_searched_without_a_network(
    read: Callable[..., Page], live_server: LiveServer, theme: str
) -> None:
    page = read(theme=theme)
    requests = Requests(page)
    page.goto("/docs/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("Clipper")
    dark = page.evaluate("document.body.getAttribute('data-md-color-scheme')") == "slate"
    assert dark == (theme == "dark")
    page.get_by_label("Search", exact=True).first.click()
    page.get_by_role("textbox", name="Search").press_sequentially("saturated")
    results = page.locator(".md-search-result__item")
    expect(results.first).to_be_visible()
    results.first.get_by_role("link").first.click()
    expect(page).not_to_have_url(re.compile(r"/docs/(#.*)?$"))
    expect(page.locator("article")).to_contain_text("saturated")
    # Who leaves a page while it still loads its search ends those requests, which isn't a failure.
    page.wait_for_load_state("networkidle")
    # Once more: what has not changed comes with the headers of a 304, which are the page's then.
    page.goto("/docs/")
    expect(page.locator("article")).to_be_visible()
    assert requests.failed == []
    assert len(requests.addresses) > 10
    outside = [url for url in requests.addresses if not url.startswith(live_server.url)]
    assert outside == []
