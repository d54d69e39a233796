"""A model's code finds none of the stack's secrets, and changes nothing outside its own folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.long import beginning_of
from tests.serving.container.sandbox.attacked import CONFINED, FILES
from tests.serving.container.sandbox.attacker import CANARY, SEARCHES
from tests.serving.container.sandbox.confined_programs import filtered

MODULE = "tests.serving.container.sandbox.attacked"
ROOT = Path(__file__).resolve().parents[4]
PLACES = {f"{when}: {place}" for when in ("load", "warm-up", "predict") for place in SEARCHES}
# Calls on files that can't be told apart from those on a model's own, and succeed.
DO_NOTHING = {
    *("cores", "chmod", "fchmod", "fchmodat2", "chown", "lchown", "fchown", "utime", "futimens"),
    *("setxattr", "fsetxattr", "removexattr", "setxattrat", "chattr", "file_setattr"),
}
PROCESS = {"limits", "niceness", "scheduler", "cores", "disk priority"}
WAYS_TO_LOOK = ["replica", "check", "executed replica", "executed check"]
NOBODY = 65534
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Landlock is Linux's")


def run(attack: str, how: str, folder: Path, *, command: tuple[str, ...] = ()) -> Any:
    """Return what is said of an attack by a model that is loaded in this way."""
    ended = subprocess.run(
        [*(command or (sys.executable,)), "-m", MODULE, attack, how, folder],
        cwd=ROOT,
        env=os.environ | {"DJANGO_SECRET_KEY": CANARY, "CLIPPER_VAR": str(folder)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout.splitlines()[-1])


def found(how: str, folder: Path, *, command: tuple[str, ...] = ()) -> object:
    return run("secrets", how, folder, command=command)


def changes(how: str, folder: Path, *, command: tuple[str, ...] = ()) -> tuple[set[str], set[str]]:
    """Return the changes, and everything else that the model has got."""
    said = run("changes", how, folder, command=command)
    assert "heard" in said["told"], "the attack was not run"
    return set(said["changed"]), set(said["told"]) - {"heard"}


@pytest.fixture
def unprivileged() -> tuple[str, ...]:
    """Runs Python as root without privileges, who has the rights of its files' owner."""
    setpriv = shutil.which("setpriv")
    if setpriv is None or os.getuid() != 0:
        pytest.skip("the other tests run as an ordinary user already")
    return (setpriv, "--bounding-set=-all", "--inh-caps=-all", sys.executable)


@pytest.fixture(scope="module")
def python_for_everybody() -> Iterator[str]:
    """This Python with its packages: it may lie in root's home, where nobody else can run it."""
    stdlib = Path(sysconfig.get_path("stdlib"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = folder / "lib" / stdlib.name
        unneeded = shutil.ignore_patterns("test", "site-packages", "__pycache__")
        shutil.copytree(stdlib, library, ignore=unneeded)
        (library / "site-packages").mkdir()
        (library / "site-packages" / "these.pth").write_text(sysconfig.get_path("purelib"))
        python = folder / "bin" / "python"
        python.parent.mkdir()
        shutil.copy(Path(sys.executable).resolve(), python)
        for shared in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
            shutil.copy(shared, folder / "lib")
        folder.chmod(0o755)
        yield str(python)


@pytest.fixture
def ordinary(
    unprivileged: tuple[str, ...], python_for_everybody: str
) -> Iterator[tuple[tuple[str, ...], Path]]:
    """Runs Python as an ordinary user, and a folder of that user's."""
    *drop, _ = unprivileged
    drop += [f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    drop += ["env", f"LD_LIBRARY_PATH={Path(python_for_everybody).parents[1] / 'lib'}"]
    drop += [python_for_everybody]
    asked = [*drop, "-c", "import serving, msgspec"]
    if subprocess.run(asked, cwd=ROOT, check=False, capture_output=True).returncode != 0:
        pytest.skip("an ordinary user can read neither the project nor its packages")
    with tempfile.TemporaryDirectory() as name:
        os.chown(name, NOBODY, NOBODY)
        yield tuple(drop), Path(name)


def test_the_attacker_finds_the_secret_wherever_it_is_in_reach(tmp_path: Path) -> None:
    assert set(found("here", tmp_path)) == PLACES  # type: ignore[call-overload]  # a list of texts


@pytest.mark.parametrize("how", WAYS_TO_LOOK)
def test_it_finds_nothing_in_a_replica_nor_at_a_check(tmp_path: Path, how: str) -> None:
    assert not found(how, tmp_path)


@pytest.mark.parametrize("how", beginning_of(WAYS_TO_LOOK, rows=1))
def test_it_finds_nothing_where_root_has_no_privileges(
    tmp_path: Path, how: str, unprivileged: tuple[str, ...]
) -> None:
    assert not found(how, tmp_path, command=unprivileged)


@pytest.mark.parametrize("how", beginning_of(WAYS_TO_LOOK, rows=1))
def test_it_finds_nothing_as_an_ordinary_user(
    how: str, ordinary: tuple[tuple[str, ...], Path]
) -> None:
    """Each process may do with the others of its user what it likes."""
    command, folder = ordinary
    assert not found(how, folder, command=command)


def test_code_changes_its_host_if_nothing_confines_it(tmp_path: Path) -> None:
    changed, got = changes("here", tmp_path)
    assert changed >= PROCESS | {"chmod", "chown", "utime", "truncate", "artifact"}
    # This kernel may be too old for some of the calls.
    assert changed - {"artifact"} == got & (PROCESS | set(FILES))
    assert got >= {"port", "stack's socket", "the stack heard b'as the stack does'"}


@filtered
@pytest.mark.parametrize("how", CONFINED)
def test_it_changes_nothing_in_whichever_way_it_runs(tmp_path: Path, how: str) -> None:
    changed, got = changes(how, tmp_path)
    assert not changed
    assert got <= DO_NOTHING


@filtered
@pytest.mark.parametrize("how", beginning_of(["replica", "check", "command"], rows=1))
def test_it_changes_nothing_where_root_has_no_privileges(
    tmp_path: Path, how: str, unprivileged: tuple[str, ...]
) -> None:
    changed, got = changes(how, tmp_path, command=unprivileged)
    assert not changed
    assert got <= DO_NOTHING


@filtered
@pytest.mark.parametrize("how", beginning_of(CONFINED, rows=1))
def test_it_changes_nothing_as_an_ordinary_user(
    how: str, ordinary: tuple[tuple[str, ...], Path]
) -> None:
    command, folder = ordinary
    changed, got = changes(how, folder, command=command)
    assert not changed
    assert got <= DO_NOTHING
