"""The modules of the product, and what pyproject.toml says of them."""

import ast
from functools import cache
from pathlib import Path
from typing import Any

from importlinter.api import read_configuration

ROOT = Path(__file__).resolve().parents[2]


@cache
def contracts() -> dict[str, dict[str, Any]]:
    """Return the results of `lint-imports`, by the contracts' ids."""
    options = read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    return {contract["id"]: contract for contract in options}


def modules(*places: str) -> list[Path]:
    """Every module of these packages and single modules, by their dotted names; no migrations."""
    found: list[Path] = []
    for place in places:
        path = ROOT.joinpath(*place.split("."))
        here = sorted(path.rglob("*.py")) or [path.with_suffix(".py")]
        assert here[0].is_file(), f"nothing is called {place}"
        found += here
    return [file for file in found if "migrations" not in file.parts]


def name(file: Path) -> str:
    return str(file.relative_to(ROOT))


def module_name(file: Path) -> str:
    return name(file).removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


# From the lowest: each may import itself and what comes before it.
LAYERS: tuple[str, ...] = tuple(reversed(contracts()["layers"]["layers"]))
