"""The modules of the four layers, and what each imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Each may import itself and what comes before it.
LAYERS = ("registry", "selection", "serving", "clipper_site")


def modules(*places: str) -> list[Path]:
    """Every module below these paths from the root, which may be single files; no migrations."""
    found: list[Path] = []
    for place in places:
        path = ROOT / place
        found += [path] if path.is_file() else sorted(path.rglob("*.py"))
    assert found, f"nothing below {places}"
    return [file for file in found if "migrations" not in file.parts]


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> set[str]:
    """The full names of all modules that it imports, those within functions too."""
    return {module for node in ast.walk(parsed(file)) for module in _imported(node, file=file)}


def _imported(node: ast.AST, *, file: Path) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom):
        module = node.module or ""
        if node.level:
            package = file.relative_to(ROOT).parts[: -node.level]
            module = ".".join([*package, module]).rstrip(".")
        yield module
        # What is imported may be a module itself.
        yield from (f"{module}.{alias.name}" for alias in node.names)


def tops(file: Path) -> set[str]:
    return {module.partition(".")[0] for module in imports(file)}
