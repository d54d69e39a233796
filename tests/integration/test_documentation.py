"""The running stack shows the documentation to anybody, or says how to build it."""

from __future__ import annotations

import httpx

from clipper_site.stack.layout import ROOT
from tests.integration.stack import Stack

BUILT = ROOT / "build" / "docs" / "index.html"

BUNDLE = "/static/drf_spectacular_sidecar/swagger-ui-dist/swagger-ui-bundle.js"


def test_what_pages_load_is_there_compressed_and_without_maps_to_its_source(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}{BUNDLE}")
    assert (answer.status_code, answer.headers["content-encoding"]) == (200, "gzip")
    assert httpx.get(f"{stack.url}{BUNDLE}.map").status_code == 404


def test_the_running_stack_shows_the_documentation_or_how_to_build_it(stack: Stack) -> None:
    answer = httpx.get(f"{stack.url}/docs/")
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    if BUILT.is_file():
        assert (answer.status_code, answer.content) == (200, BUILT.read_bytes())
    else:
        assert answer.status_code == 404
        assert "make docs" in answer.text
    assert httpx.get(f"{stack.url}/docs").headers["location"] == "/docs/"
