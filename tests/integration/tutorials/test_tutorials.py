"""The tutorials do what they say: every command is typed, and every answer is the one shown."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.integration.stack import Stack
from tests.integration.tutorials.reader import (
    BLOCK,
    EVERY,
    PAGES,
    Reader,
)


def there(stack: Stack) -> dict[str, Any]:
    """Return the names of the applications and models, which a page may have made."""
    with stack.client() as client:
        return {
            kind: {found["name"] for found in client.get(f"/api/v1/{kind}/").json()}
            for kind in ("applications", "models")
        }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_tutorial_does_what_it_says_and_leaves_nothing(
    page: Path, stack: Stack, tmp_path: Path
) -> None:
    before = there(stack)
    Reader(folder=tmp_path, stack=stack).follows(page.read_text())
    assert there(stack) == before


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.stem)
def test_a_page_installs_the_client_before_it_uses_it(page: Path) -> None:
    """Here it is there already; `make run` doesn't bring it."""
    typed = "".join(code for _, code in BLOCK.findall(page.read_text()))
    used = re.search(r"clipper_(client|admin)\b|(^|[/ ])clipper ", typed, re.MULTILINE)
    installed = re.search(r"pip install .*\./clients/python", typed)
    assert used is None or (installed is not None and installed.start() < used.start())
