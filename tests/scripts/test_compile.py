"""`make compile` compiles only modules that mypyc doesn't silently change."""

import ast
import os
from importlib.machinery import PathFinder
from pathlib import Path

import pytest

from core import compiled
from scripts import compile as compiling
from tests.interpreter import run_python

FILES = compiling.modules()


def classes(file: str) -> list[ast.ClassDef]:
    tree = ast.parse((compiled.ROOT / file).read_text())
    return [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]


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
    code = "import sys, core.compiled; print(*sys.modules)"
    loaded = set(run_python("-c", code, check=True).stdout.split())
    assert "core.compiled" in loaded
    assert not loaded & set(names)


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    folder = tmp_path / "build" / "compiled"
    monkeypatch.setattr(compiled, "BUILDS", folder)
    return folder


def made_in(folder: Path, *, name: str, code: bytes) -> Path:
    """A folder in which something is compiled."""
    made = folder / "made"
    made.mkdir(parents=True)
    (made / f"{name}{compiled.SUFFIX}").write_bytes(code)
    return made


def extension() -> bytes:
    found = PathFinder.find_spec("_queue")
    assert found is not None
    assert found.origin is not None
    return Path(found.origin).read_bytes()


def test_what_is_made_takes_the_place_of_what_is_damaged(builds: Path) -> None:
    digest = compiled.digest()
    (builds / digest).mkdir(parents=True)
    assert compiled.build() is None
    compiling.put_to_use(made_in(builds, name="_queue", code=extension()), digest=digest)
    assert compiled.build() == builds / digest


def test_what_was_made_of_sources_that_were_changed_meanwhile_is_not_used(builds: Path) -> None:
    made = made_in(builds, name="_queue", code=extension())
    with pytest.raises(SystemExit, match="sources were changed meanwhile"):
        compiling.put_to_use(made, digest="of-before")
    assert not (builds / "of-before").exists()


def test_what_cannot_be_imported_is_not_used(builds: Path) -> None:
    digest = compiled.digest()
    with pytest.raises(SystemExit, match=r"can't be imported: ImportError: .*_queue"):
        compiling.put_to_use(made_in(builds, name="_queue", code=b"no code"), digest=digest)
    assert compiled.build() is None


@pytest.mark.long
def test_what_is_made_is_the_same_wherever_it_is_made(tmp_path: Path) -> None:
    """Also where Python's own flags ask for debugging information, as Debian's do."""
    code = """
import sys
from pathlib import Path
from scripts.compile import build
build(["serving/rpc/text.py"], into=Path(sys.argv[1]))
"""
    made = []
    for name in ("one", "another"):
        run_python("-c", code, str(tmp_path / name), env=os.environ | {"CFLAGS": "-g"}, check=True)
        found = sorted((tmp_path / name / "modules").rglob("*.so"))
        made.append([file.read_bytes() for file in found])
    assert made[0] == made[1] != []
