"""The package as people install it: by itself, into an environment with nothing else."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from clipper_site import ROOT

ALONE = """
import sys
from pathlib import Path
import clipper_client
assert not {"django", "numpy", "pandas", "sklearn"} & set(sys.modules)
client = clipper_client.Client("http://127.0.0.1:9", "k")
print(clipper_client.__version__)
print((Path(clipper_client.__path__[0]) / "py.typed").is_file())
"""
PIP = (sys.executable, "-m", "pip", "--python")


def run(*command: str | Path) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, env=clean, cwd="/", capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the package and what it depends on."""
    folder = tmp_path_factory.mktemp("venv")
    # Building leaves files beside the source.
    package = shutil.copytree(ROOT / "clients/python", tmp_path_factory.mktemp("built") / "python")
    run(sys.executable, "-m", "venv", "--without-pip", folder)
    python = folder / "bin/python"
    run(*PIP, python, "install", "--quiet", package)
    return python


@pytest.mark.timeout(300)
def test_it_works_without_django_and_without_a_framework(python: Path) -> None:
    assert run(python, "-c", ALONE).split() == ["0.1.0", "True"]
    assert "django" not in run(*PIP, python, "list").lower()
    assert "rollback" in run(python.parent / "clipper", "--help")
