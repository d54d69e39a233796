"""What `make compile` compiles can be compiled: mypyc changes in silence what some modules do."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from infrastructure import compiled
from scripts import compile as compiling

FILES = compiling.modules()


def classes(file: str) -> list[ast.ClassDef]:
    tree = ast.parse((compiled.ROOT / file).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


def test_there_is_something_to_compile() -> None:
    assert len(FILES) > 40
    assert {"serving/engine/engine.py", "serving/query/query.py"} <= set(FILES)


def test_no_struct_is_compiled_as_it_would_lose_its_options() -> None:
    found = {
        f"{file}: {each.name}"
        for file in FILES
        for each in classes(file)
        for base in each.bases
        if ast.unparse(base).endswith("Struct") or each.keywords
    }
    assert found == set()


def test_nobody_inherits_from_what_is_compiled() -> None:
    """But what is compiled itself: Python refuses others, the moment one of them is made."""
    names = {each.name for file in FILES for each in classes(file)}
    tree = {
        path.relative_to(compiled.ROOT).as_posix()
        for package in compiled.SOURCES
        for path in (compiled.ROOT / package).rglob("*.py")
    }
    assert len(tree) > 400
    found = {
        f"{file}: {each.name}"
        for file in tree - set(FILES)
        for each in classes(file)
        for base in each.bases
        if ast.unparse(base) in names
    }
    assert found == set()


def test_a_process_that_answers_loads_nothing_of_it_before_it_may_be_compiled() -> None:
    names = [file.removesuffix(".py").replace("/", ".") for file in FILES]
    code = "import sys, infrastructure.compiled; print(*sys.modules)"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=compiled.ROOT, capture_output=True, text=True, check=True
    )
    loaded = set(told.stdout.split())
    assert "infrastructure.compiled" in loaded
    assert not loaded & set(names)


def test_missing_headers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("sysconfig.get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(SystemExit, match=r"Python\.h is missing; install the headers"):
        compiling.check_headers()
