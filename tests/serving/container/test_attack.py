"""A model's code finds none of the stack's secrets, at its check and in its replica."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.container.attacker import CANARY, SEARCHES

ROOT = Path(__file__).resolve().parents[3]
PLACES = {f"{when}: {place}" for when in ("load", "warm-up", "predict") for place in SEARCHES}
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")


def found(how: str, folder: Path, *, command: tuple[str, ...] = ()) -> object:
    """What the attacker reports that was loaded in this way."""
    ended = subprocess.run(
        [*command, sys.executable, "-m", "tests.serving.container.attacked", how, str(folder)],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SECRET_KEY": CANARY, "CLIPPER_VAR": str(folder)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def test_the_attacker_finds_the_secret_wherever_it_is_in_reach(tmp_path: Path) -> None:
    assert set(found("here", tmp_path)) == PLACES  # type: ignore[call-overload]  # a list of texts


def test_it_finds_nothing_in_a_replica(tmp_path: Path) -> None:
    assert found("box", tmp_path) == []


@pytest.mark.parametrize("how", ["check", "forked"])
def test_it_finds_nothing_at_the_check(tmp_path: Path, how: str) -> None:
    assert found(how, tmp_path) is None


@pytest.mark.parametrize("how", ["box", "check", "forked"])
def test_it_finds_nothing_where_root_has_no_privileges(tmp_path: Path, how: str) -> None:
    """As for an ordinary user: each process may do with the others of its user what it likes."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.getuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    unprivileged = (setpriv, "--bounding-set=-all", "--inh-caps=-all")
    assert not found(how, tmp_path, command=unprivileged)
