"""What a folder of Python or a wheel requires, as its own files say: one requirement a line."""

from __future__ import annotations

import re
import tomllib
import zipfile
from email.parser import HeaderParser
from pathlib import Path

import yaml

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError

# Of an extra, which nobody has asked for.
_EXTRA = re.compile(r";.*\bextra\s*==")


def required_by(path: Path) -> str | None:
    """Return the lines of a requirements.txt; None where nothing is said.

    A folder's `requirements.txt` counts before its `pyproject.toml`. Raises ClipperError for one
    that can't be read.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        return _of_wheel(path) if zipfile.is_zipfile(path) else None
    except ValueError as error:
        raise ClipperError(
            f"Expected requirements in {path.name} that can be read: {error}",
            code=UNSUPPORTED_MODEL,
        ) from error


def pip_part(conda: Path) -> list[str]:
    """Return what pip is to install of a `conda.yaml`, such as MLflow's."""
    told = yaml.safe_load(conda.read_text(encoding="utf-8")) or {}
    parts = [part for part in told.get("dependencies", []) if isinstance(part, dict)]
    return [str(line) for part in parts for line in part.get("pip", [])]


def _of_folder(folder: Path) -> str | None:
    listed, project = folder / "requirements.txt", folder / "pyproject.toml"
    if listed.is_file():
        return listed.read_text(encoding="utf-8")
    if project.is_file():
        told = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
        return _lines(told.get("dependencies"))
    return None


def _of_wheel(wheel: Path) -> str | None:
    with zipfile.ZipFile(wheel) as packed:
        told = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        if not told:
            return None
        metadata = HeaderParser().parsestr(packed.read(told[0]).decode())
    required = metadata.get_all("Requires-Dist", [])
    return _lines([line for line in required if not _EXTRA.search(line)])


def _lines(required: list[str] | None) -> str | None:
    return "".join(f"{line}\n" for line in required) if required else None
