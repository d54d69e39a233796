"""The running stack shows the documentation to anybody, or says how to build it."""

from __future__ import annotations

import httpx

from scripts.stack.layout import ROOT
from tests.integration.stack import Stack

BUILT = ROOT / "build" / "docs" / "index.html"


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
