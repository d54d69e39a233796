"""scripts/setup, in a copy of the checkout whose pip and interpreters are stand-ins."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from scripts.stack.layout import ROOT

TOOLS = ("bash", "cat", "cksum", "dirname", "env", "sh")


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A copy of what setup reads, and a PATH on which nothing else is."""

    root: Path
    path: Path

    def set_up(self, *arguments: str, python: str = "python3") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.root / "scripts" / "setup", *arguments],
            env={"PATH": str(self.path), "PYTHON": python, "HOME": str(self.root)},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def pip_calls(self) -> int:
        log = self.root / "pip.log"
        return len(log.read_text().splitlines()) if log.exists() else 0

    def interpreter(self, name: str, *, version: str) -> None:
        """One of that version: makes environments of itself, notes what pip would install."""
        executable(
            self.path / name,
            f"""#!/bin/sh
case "$1 $2" in
"-c import sys"*) echo {version} ;;
"-c "*) ;;
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip") echo "$@" >>"{self.root}/pip.log" ;;
*) exec "{sys.executable}" "$@" ;;
esac
""",
        )


def executable(file: Path, text: str) -> None:
    file.write_text(text)
    file.chmod(0o755)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    root, path = tmp_path / "checkout", tmp_path / "bin"
    path.mkdir()
    shutil.copytree(ROOT / "scripts", root / "scripts")
    for name in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, root)
    (root / "clients/python").mkdir(parents=True)
    shutil.copy(ROOT / "clients/python/pyproject.toml", root / "clients/python")
    for tool in (*TOOLS, "cp", "mkdir"):
        found = shutil.which(tool)
        assert found, tool
        (path / tool).symlink_to(found)
    executable(path / "redis-server", "#!/bin/sh\n")
    executable(path / "id", "#!/bin/sh\necho 1000\n")
    checkout = Checkout(root=root, path=path)
    checkout.interpreter("python3", version="3.11")
    return checkout


@pytest.mark.parametrize("version", ["2.7", "3.10", "3.14"])
def test_a_wrong_python_is_refused_with_one_line(checkout: Checkout, version: str) -> None:
    checkout.interpreter("wrong", version=version)
    refused = checkout.set_up(python="wrong")

    assert refused.returncode == 1
    assert refused.stderr == (
        f"setup: wrong is Python {version}; Clipper needs 3.11, 3.12 or 3.13: "
        "make PYTHON=python3.12 ...\n"
    )
    assert not (checkout.root / ".venv").exists()


def test_a_missing_python_is_refused_with_one_line(checkout: Checkout) -> None:
    refused = checkout.set_up(python="python9")

    assert refused.returncode == 1
    assert len(refused.stderr.splitlines()) == 1
    assert "python9 isn't installed" in refused.stderr


def test_an_unknown_option_is_refused(checkout: Checkout) -> None:
    assert "unknown option --fast" in checkout.set_up("--fast").stderr


def test_requirements_are_installed_once(checkout: Checkout) -> None:
    first, second = checkout.set_up(), checkout.set_up()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert checkout.pip_calls() == 1
    assert second.stdout == ""


def test_changed_requirements_are_installed_again(checkout: Checkout) -> None:
    checkout.set_up()
    with (checkout.root / "requirements.txt").open("a") as requirements:
        requirements.write("# one more\n")
    checkout.set_up()

    assert checkout.pip_calls() == 2


def test_an_environment_of_another_python_is_made_anew(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.interpreter("python3.13", version="3.13")
    remade = checkout.set_up(python="python3.13")

    assert "making .venv with Python 3.13 (it was made with 3.11)" in remade.stdout
    assert checkout.pip_calls() == 2


def test_the_client_is_installed_to_test_it_and_not_to_run(checkout: Checkout) -> None:
    checkout.set_up()
    assert not (checkout.root / ".venv/installed-client").exists()
    checkout.set_up("--dev")
    assert "--editable clients/python" in (checkout.root / "pip.log").read_text()
    calls = checkout.pip_calls()
    checkout.set_up("--dev")
    assert checkout.pip_calls() == calls


def test_who_is_not_root_is_told_what_to_install(checkout: Checkout) -> None:
    executable(checkout.path / "apt-get", "#!/bin/sh\nexit 1\n")
    told = checkout.set_up("--dev")

    assert told.returncode == 1
    assert told.stderr == (
        "setup: Chromium (for the browser tests) is missing; "
        "install it: sudo apt-get install --no-install-recommends chromium-headless-shell\n"
    )


def test_elsewhere_than_on_debian_it_names_the_thing(checkout: Checkout) -> None:
    assert "Chromium (for the browser tests) is missing" in checkout.set_up("--dev").stderr


def test_the_makefile_s_help_lists_every_command() -> None:
    said = subprocess.run(
        ["make", "help"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
    ).stdout

    for command in ("run", "test", "check", "bench", "clean"):
        assert f"  {command}\t" in said


def test_what_a_command_prints_is_all_that_is_printed_where_another_make_calls_this_one(
    tmp_path: Path,
) -> None:
    makefile = tmp_path / "Makefile"
    makefile.write_text(f"pipeline:\n\t@make -C {ROOT} help\n")
    env = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    said = subprocess.run(
        ["make", "-f", makefile], cwd=tmp_path, env=env, capture_output=True, check=True
    ).stdout
    assert said.startswith(b"make COMMAND")
    assert b"directory" not in said
