"""Compiled code is run where it was made of these very sources, and by who asks for it alone."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.machinery import EXTENSION_SUFFIXES, PathFinder
from pathlib import Path

import pytest

from infrastructure import compiled

# Tells whether anything is compiled, and where this module of the standard library comes from.
PROGRAM = """
import _queue
from infrastructure import compiled
print(compiled.in_use(), compiled.stale(), _queue.__file__)
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project of its own, with as much in it as running a module takes."""
    shutil.copytree(compiled.ROOT / "infrastructure", tmp_path / "infrastructure")
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
    return done.stdout.split()


def build(project: Path) -> Path:
    """Put an extension module where a compiled one would lie."""
    code = "from infrastructure import compiled; print(compiled.BUILDS / compiled.digest())"
    told = subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=True
    )
    folder = Path(told.stdout.strip())
    folder.mkdir(parents=True)
    found = PathFinder.find_spec("_queue")
    assert found is not None
    assert found.origin is not None
    assert found.origin.endswith(compiled.SUFFIX)
    return Path(shutil.copy(found.origin, folder))


COMPILED = ("infrastructure.compiled",)


def test_what_is_compiled_is_run_by_who_asks_for_it(project: Path) -> None:
    assert run(project, by=COMPILED)[:2] == ["False", "False"]
    made = build(project)
    assert run(project, by=COMPILED) == ["True", "False", str(made)]
    in_use, _, origin = run(project, by=())
    assert (in_use, origin != str(made)) == ("False", True)


def test_code_of_other_sources_is_never_run(project: Path) -> None:
    build(project)
    (project / "infrastructure" / "more.py").write_text("NUMBER = 1\n")
    in_use, stale, _ = run(project, by=COMPILED)
    assert (in_use, stale) == ("False", "True")


@pytest.mark.parametrize("off", ["0", "false", "No", "OFF"])
def test_it_can_be_turned_off(project: Path, off: str) -> None:
    build(project)
    assert run(project, by=COMPILED, CLIPPER_COMPILED=off)[:2] == ["False", "False"]


def test_extension_modules_are_told_apart_by_interpreter() -> None:
    assert EXTENSION_SUFFIXES[0] == compiled.SUFFIX
    assert f"{sys.version_info.major}{sys.version_info.minor}" in compiled.SUFFIX
