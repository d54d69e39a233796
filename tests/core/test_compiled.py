"""Compiled code is run where it was made of these very sources, and by who asks for it alone."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

import pytest

from core import compiled

# Tells whether anything is compiled, and where this module of the standard library comes from.
PROGRAM = """
import _queue
from core import compiled
print(compiled.in_use(), compiled.unused() or "-", _queue.__file__, sep="|")
"""
OTHER = "is of other sources"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, with as much in it as running a module takes."""
    shutil.copytree(compiled.ROOT / "core", tmp_path / "core")
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def run(project: Path, *, by: tuple[str, ...], **settings: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-m", *by, "program"],
        cwd=project,
        env={"PATH": os.environ["PATH"], **settings},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip().split("|")


def build(project: Path) -> Path:
    """Put an extension module where a compiled one would lie."""
    code = "from core import compiled; print(compiled.BUILDS / compiled.digest())"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    folder = Path(told.stdout.strip())
    folder.mkdir(parents=True)
    found = PathFinder.find_spec("_queue")
    assert found is not None
    assert found.origin is not None
    assert found.origin.endswith(compiled.SUFFIX)
    made = Path(shutil.copy(found.origin, folder))
    (folder / compiled.CONTENTS).write_text(compiled.contents(folder))
    return made


COMPILED = ("core.compiled",)


def test_what_is_compiled_is_run_by_who_asks_for_it(project: Path) -> None:
    assert run(project, by=COMPILED)[:2] == ["False", "-"]
    made = build(project)
    assert run(project, by=COMPILED) == ["True", "-", str(made)]
    in_use, _, origin = run(project, by=())
    assert (in_use, origin != str(made)) == ("False", True)


def test_code_of_other_sources_is_never_run(project: Path) -> None:
    build(project)
    (project / "core" / "more.py").write_text("NUMBER = 1\n")
    assert run(project, by=COMPILED)[:2] == ["False", OTHER]


def test_code_that_was_compiled_in_another_way_is_never_run(project: Path) -> None:
    build(project)
    recipe = project / compiled.RECIPE
    recipe.parent.mkdir()
    recipe.write_text("LEFT_OUT = {}\n")
    assert run(project, by=COMPILED)[:2] == ["False", OTHER]


def test_what_is_still_being_made_is_nothing_yet(project: Path) -> None:
    (project / "build" / "compiled" / ".made").mkdir(parents=True)
    assert run(project, by=COMPILED)[:2] == ["False", "-"]


def cut(made: Path) -> None:
    os.truncate(made, made.stat().st_size // 2)


def forget(made: Path) -> None:
    (made.parent / compiled.CONTENTS).unlink()


@pytest.mark.parametrize("damage", [Path.unlink, cut, forget])
def test_what_is_not_whole_is_left_where_it_is(
    project: Path, damage: Callable[[Path], None]
) -> None:
    made = build(project)
    damage(made)
    in_use, why, origin = run(project, by=COMPILED)
    assert (in_use, why) == ("False", "is damaged")
    assert origin != str(made)


def test_the_python_is_run_where_the_compiled_code_cannot_be_loaded(project: Path) -> None:
    made = build(project)
    library = made.parent / compiled.LIBRARY.replace("*", "ab")
    library.write_bytes(b"of another machine")
    (made.parent / compiled.CONTENTS).write_text(compiled.contents(made.parent))
    in_use, why, origin = run(project, by=COMPILED)
    assert in_use == "False"
    assert why.startswith(f"can't be loaded ({library}: ")
    assert origin != str(made)


@pytest.mark.parametrize("off", ["0", "false", "No", "OFF"])
def test_it_can_be_turned_off(project: Path, off: str) -> None:
    build(project)
    assert run(project, by=COMPILED, CLIPPER_COMPILED=off)[:2] == ["False", "-"]


def test_extension_modules_are_told_apart_by_interpreter() -> None:
    assert EXTENSION_SUFFIXES[0] == compiled.SUFFIX
    assert f"{sys.version_info.major}{sys.version_info.minor}" in compiled.SUFFIX
