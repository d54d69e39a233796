"""The requirements written in a folder of Python or a wheel go along with it."""

import zipfile
from pathlib import Path

import pytest

from clipper_client import ClipperError
from clipper_client.frameworks.native import save_folder
from clipper_client.packaging.required_packages import captured, required_by

PROJECT = """
[project]
name = "scorer"
requires-python = ">=3.12"
dependencies = ["emoji==2.14.0", "numpy; python_version > '3.10'"]

[project.optional-dependencies]
dev = ["pytest"]
"""
METADATA = """Metadata-Version: 2.1
Name: scorer
Requires-Python: >=3.12
Requires-Dist: emoji==2.14.0
Requires-Dist: pytest; extra == "dev"

Requires-Dist: of the description
"""
CONDA = """
name: mlflow-env
dependencies: [python=3.11, pip, {pip: [mlflow-skinny==3.17.0, "emoji"]}]
"""


def test_a_folder_s_requirements_are_taken_as_they_are_written(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    lines = "emoji==2.14.0\nnumpy; python_version > '3.10'\n"
    assert required_by(tmp_path) == (lines, ">=3.12")
    (tmp_path / "requirements.txt").write_text("# of ours\nemoji\n")
    assert required_by(tmp_path) == ("# of ours\nemoji\n", ">=3.12")


def test_a_folder_that_says_nothing_requires_nothing(tmp_path: Path) -> None:
    assert required_by(tmp_path) == (None, "")
    (tmp_path / "pyproject.toml").write_text("[tool.ruff]\n")
    assert required_by(tmp_path) == (None, "")


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[project")
    with pytest.raises(ClipperError, match=tmp_path.name):
        required_by(tmp_path)


def test_a_wheel_requires_what_its_metadata_says_without_its_extras(tmp_path: Path) -> None:
    wheel = tmp_path / "scorer-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as packed:
        packed.writestr("scorer-1.0.dist-info/METADATA", METADATA)
    assert required_by(wheel) == ("emoji==2.14.0\n", ">=3.12")
    wheel.write_bytes(b"no zip")
    assert required_by(wheel) == (None, "")


def test_of_a_conda_environment_the_part_of_pip_is_taken(tmp_path: Path) -> None:
    """Folders of an older MLflow have no requirements.txt."""
    found = tmp_path / "model"
    found.mkdir()
    (found / "conda.yaml").write_text(CONDA)
    saved = save_folder(found, folder=tmp_path)
    assert saved.requirements == ("mlflow-skinny==3.17.0", "emoji")
    (found / "requirements.txt").write_text("mlflow==3.17.0\n")
    assert captured(save_folder(found, folder=tmp_path).requirements) == "mlflow==3.17.0\n"
