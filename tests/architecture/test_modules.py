"""Rules for every module; each test lists the offenders."""

import ast
from collections.abc import Iterator
from pathlib import Path

from tests.architecture.source import LAYERS, contracts, modules, name, parsed

# Django finds these by their names.
GIVEN_NAMES = {"Command"}
EVERY = modules(*LAYERS, "scripts", "tests", "benchmarks", "examples", "clients")
OURS = modules(*LAYERS)
PURE = modules(*contracts()["purity"]["source_modules"])
WAITING = (ast.AsyncFunctionDef, ast.Await, ast.AsyncFor, ast.AsyncWith)
ASKING = {"open", "print", "input", "exec", "eval"}


def test_a_module_opens_with_one_sentence_about_it() -> None:
    first = {
        name(file): (ast.get_docstring(parsed(file)) or "").partition("\n\n")[0]
        for file in OURS
        if file.read_text().strip()
    }
    assert {file: said for file, said in first.items() if not said.endswith((".", ":", "?"))} == {}


def test_a_class_name_occurs_once_in_the_product() -> None:
    homes: dict[str, list[str]] = {}
    for file in OURS:
        for node in parsed(file).body:
            if isinstance(node, ast.ClassDef) and node.name not in GIVEN_NAMES:
                homes.setdefault(node.name, []).append(name(file))
    assert {known: files for known, files in homes.items() if len(files) > 1} == {}


def test_no_failure_is_passed_over_in_silence() -> None:
    """`except Exception` that does nothing hides faults of ours."""
    assert [place for file in OURS for place in silent_handlers(file)] == []


def test_arithmetic_never_waits() -> None:
    waiting = [name(file) for file in PURE if any(isinstance(n, WAITING) for n in nodes(file))]
    assert waiting == []


def test_arithmetic_opens_and_asks_for_nothing() -> None:
    asking = {name(file): found for file in PURE if (found := called_by_name(file) & ASKING)}
    assert asking == {}


def nodes(file: Path) -> Iterator[ast.AST]:
    return ast.walk(parsed(file))


def called_by_name(file: Path) -> set[str]:
    calls = [node.func for node in nodes(file) if isinstance(node, ast.Call)]
    return {called.id for called in calls if isinstance(called, ast.Name)}


def silent_handlers(file: Path) -> Iterator[str]:
    for node in nodes(file):
        if isinstance(node, ast.ExceptHandler) and _catches_all(node) and _does_nothing(node):
            yield f"{name(file)}:{node.lineno}"


def _does_nothing(handler: ast.ExceptHandler) -> bool:
    return [ast.unparse(line) for line in handler.body] == ["pass"]


def _catches_all(handler: ast.ExceptHandler) -> bool:
    caught = handler.type
    return caught is None or (
        isinstance(caught, ast.Name) and caught.id in ("Exception", "BaseException")
    )
