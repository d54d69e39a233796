"""scripts/setup, in a copy of the checkout whose pip, uv and interpreters are stand-ins."""

import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from clipper_site import ROOT

# What uv is told of where things come from.
TOLD = "$UV_DEFAULT_INDEX|$UV_EXTRA_INDEX_URL|$UV_FIND_LINKS|"
TOOLS = ("bash", "cat", "cksum", "dirname", "env", "sed", "sh")


@dataclass(frozen=True, kw_only=True)
class Checkout:
    """A copy of what setup reads, and a PATH on which nothing else is."""

    root: Path
    path: Path

    def set_up(
        self, *arguments: str, python: str = "python3", **env: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", self.root / "scripts" / "setup", *arguments],
            env={"PATH": str(self.path), "PYTHON": python, "HOME": str(self.root), **env},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def installed(self, *, by: str = "uv") -> list[str]:
        """Return the arguments of each call of uv or pip; uv's begin with its sources."""
        log = self.root / f"{by}.log"
        return log.read_text().splitlines() if log.exists() else []

    def interpreter(self, name: str, *, version: str) -> None:
        """Add one that makes environments of itself and notes what pip and uv would install."""
        executable(
            self.path / name,
            f"""#!/bin/sh
case "$1 $2" in
"-c import sys"*) echo {version} ;;
"-c "*) ;;
"-m venv") mkdir -p "$4/bin" && cp "$0" "$4/bin/python" ;;
"-m pip")
    [ "$3" != config ] || exec cat "{self.root}/pip.list"
    echo "$@" >>"{self.root}/pip.log"
    case "$*" in *"/uv.txt"*) cp "{self.path}/uv.kept" "${{0%/*}}/uv" ;; esac ;;
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
    for package in ("scripts", "core", "clipper_site"):
        shutil.copytree(ROOT / package, root / package)
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
    (root / "pip.list").touch()
    log = f'echo "{TOLD} $@" >>"{root}/uv.log"'
    executable(path / "uv.kept", f'#!/bin/sh\n{log}\nexit "${{UV_ENDS_WITH:-0}}"\n')
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


def test_containers_are_tested_by_root_alone(checkout: Checkout) -> None:
    refused = checkout.set_up("--containers")

    assert refused.returncode == 1
    assert "sudo make test-containers" in refused.stderr
    assert not (checkout.root / ".venv").exists()


def test_requirements_are_installed_once(checkout: Checkout) -> None:
    first, second = checkout.set_up(), checkout.set_up()

    assert (first.returncode, second.returncode) == (0, 0), first.stderr + second.stderr
    assert len(checkout.installed()) == 1
    assert "--requirement requirements.txt" in checkout.installed()[0]
    assert second.stdout == ""


def test_an_environment_of_another_python_is_made_anew(checkout: Checkout) -> None:
    checkout.set_up()
    checkout.interpreter("python3.13", version="3.13")
    remade = checkout.set_up(python="python3.13")

    assert "making .venv with Python 3.13 (it was made with 3.11)" in remade.stdout
    assert len(checkout.installed()) == 2


def test_uv_is_the_pinned_one_and_is_installed_once(checkout: Checkout) -> None:
    checkout.set_up("--check")
    checkout.set_up()

    (by_pip,) = checkout.installed(by="pip")
    wanted = (checkout.root / ".venv/uv.txt").read_text()
    assert "--require-hashes" in by_pip
    assert wanted.startswith("uv==")
    assert wanted.count("==") == 1
    assert "--hash=sha256:" in wanted.splitlines()[-1]
    assert len(checkout.installed()) == 2


def test_where_uv_can_t_install_something_pip_does(checkout: Checkout) -> None:
    done = checkout.set_up(UV_ENDS_WITH="2")

    assert done.returncode == 0, done.stderr
    assert "uv could not install this; trying with pip" in done.stdout
    assert checkout.installed(by="pip")[-1].endswith("--requirement requirements.txt")


def test_uv_is_told_what_pip_is(checkout: Checkout) -> None:
    (checkout.root / "pip.list").write_text(
        ":env:.index-url='https://mirror.test/simple'\n"
        "global.index-url='https://other.test/simple'\n"
        "global.extra-index-url='https://own.test/simple?a=b'\n"
        "global.find-links='/opt/wheels\\n/opt/more'\n"
        "global.timeout='60'\n"
    )
    checkout.set_up(UV_FIND_LINKS="/mine")

    assert checkout.installed()[0].rpartition("|")[0] == (
        "https://mirror.test/simple|https://own.test/simple?a=b|/mine"
    )


def test_where_pip_may_ask_no_index_uv_is_not_asked(checkout: Checkout) -> None:
    (checkout.root / "pip.list").write_text("global.no-index='true'\n")
    assert checkout.set_up().returncode == 0

    assert checkout.installed() == []
    assert checkout.installed(by="pip")[-1].endswith("--requirement requirements.txt")


def test_the_client_is_installed_to_test_it_and_not_to_run(checkout: Checkout) -> None:
    checkout.set_up()
    assert not (checkout.root / ".venv/installed-client").exists()
    checkout.set_up("--dev")
    calls = checkout.installed()
    assert calls[-1].endswith("--editable clients/python")
    checkout.set_up("--dev")
    assert checkout.installed() == calls


def test_who_is_not_root_is_told_what_to_install(checkout: Checkout) -> None:
    executable(checkout.path / "apt-get", "#!/bin/sh\nexit 1\n")
    told = checkout.set_up("--dev")

    assert told.returncode == 1
    assert told.stderr == (
        "setup: Chromium (for the browser tests) is missing; "
        "install it: sudo apt-get install --no-install-recommends chromium-headless-shell\n"
    )
