"""The tree of errors at the head of its module is that of the classes, and there is no other."""

import ast
import re
from pathlib import Path

import pytest

from core import errors as module
from core.errors import ClipperError

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"^(?P<indent>[│├└─ ]*)(?P<name>[A-Z]\w+) (?P<status>\d{3}) (?P<code>\w+)", re.M)


def drawn(text: str) -> list[tuple[int, str, int, str]]:
    """The lines of a tree: how deep, name, status and code."""
    return [
        (len(found["indent"]) // 4, found["name"], int(found["status"]), found["code"])
        for found in LINE.finditer(text)
    ]


def family(error: type[ClipperError], *, depth: int = 0) -> list[tuple[int, str, int, str]]:
    below = [line for kind in error.__subclasses__() for line in family(kind, depth=depth + 1)]
    return [(depth, error.__name__, error.status, error.code), *below]


def test_the_tree_is_that_of_the_classes() -> None:
    assert drawn(module.__doc__ or "") == family(ClipperError)


@pytest.mark.parametrize("place", ["registry", "selection", "serving", "console", "clipper_site"])
def test_nobody_else_derives_an_error_with_a_code(place: str) -> None:
    names = {name for _, name, _, _ in family(ClipperError)}
    derived = [
        f"{file}: {part.name}"
        for file in (ROOT / place).rglob("*.py")
        for part in ast.walk(ast.parse(file.read_text()))
        if isinstance(part, ast.ClassDef)
        and any(ast.unparse(base).rpartition(".")[2] in names for base in part.bases)
    ]
    assert derived == []
