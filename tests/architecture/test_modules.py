"""What every module keeps to."""

from __future__ import annotations

import ast

import pytest

from tests.architecture.source import LAYERS, modules, name, parsed

LONGEST = 400
EVERY = modules(*LAYERS, "scripts", "tests", "benchmarks", "examples")
OURS = modules(*LAYERS, "scripts/docs", "scripts/stack")


@pytest.mark.parametrize("file", EVERY, ids=name)
def test_no_module_is_longer_than_four_hundred_lines(file):
    assert len(file.read_text().splitlines()) <= LONGEST


@pytest.mark.parametrize("file", [f for f in OURS if f.read_text().strip()], ids=name)
def test_a_module_opens_with_one_sentence_about_it(file):
    first = (ast.get_docstring(parsed(file)) or "").partition("\n\n")[0]
    assert first.endswith((".", ":", "?")), first


@pytest.mark.parametrize("file", OURS, ids=name)
def test_no_failure_is_passed_over_in_silence(file):
    """`except Exception` that does nothing hides faults of ours."""
    for node in ast.walk(parsed(file)):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node):
            assert [ast.unparse(line) for line in node.body] != ["pass"], f"line {node.lineno}"


def _catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return caught is None or (
        isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException")
    )
