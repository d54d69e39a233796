"""The tutorials do what they say: every command is typed, and every answer is the one shown."""

from __future__ import annotations

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
    Step,
    prints_as_shown,
    steps,
)


def there(stack: Stack) -> dict[str, Any]:
    """What a page may have made, by name."""
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


def test_a_page_is_read_as_its_reader_would() -> None:
    page = "Do:\n\n```sh\nls\n```\n```text\na\n```\n\nSave it as `b.py`:\n\n```python\n1\n```\n"
    found = steps(page)
    assert found[0] == Step(script="ls\n", printed="a\n")
    assert "cat >b.py <<" in found[1].script
    assert len(found) == 2


def test_a_pipeline_is_run_with_what_the_page_has_saved() -> None:
    github = "jobs: {a: {env: {K: '${{ secrets.K }}'}, steps: [{uses: b}, {run: ls}]}}"
    gitlab = "model: {script: [ls]}"
    page = "".join(
        f"Save it as `{name}`:\n\n```yaml\n{text}\n```\n"
        for name, text in ((".github/workflows/c.yml", github), (".gitlab-ci.yml", gitlab))
    )
    saved, run, _, other = [step.script for step in steps(page)]
    assert "cat >.github/workflows/c.yml" in saved
    assert 'export K="$K"\n(\nls\n)' in run
    assert "cp --parents .github/workflows/c.yml .gitlab-ci.yml" in other
    assert "uses" not in run


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ('{"a":1,\n "latency_ms":6.256}', '{"a":1,"latency_ms":2.1}', True),
        ("Release 6 of m:1 is live.", "Release 9 of m:1 is live.", True),
        ('"weight":0.87…}', '"weight":0.8712}', True),
        ("100% right", "90% right", False),
        ('"output":0,"latency_ms":1}', '"output":1,"latency_ms":1}', False),
    ],
)
def test_only_what_differs_from_run_to_run_may_differ(shown: str, printed: str, same: bool) -> None:
    assert prints_as_shown(printed, shown=shown) is same


def test_figures_may_differ_where_a_page_says_so() -> None:
    (step,) = steps("```sh\nls\n```\n```output\nm:1 +0.15 of 213\n```\n")
    assert step.approximate

    def same(printed: str) -> bool:
        return prints_as_shown(printed, shown=str(step.printed), approximate=True)

    assert same("m:1 +1e-05 of 1,024")
    assert not same("m:1 -0.15 of 213")
    assert not same("m:2 +0.15 of 213")
