"""Requirements of a folder of Python or a wheel by its own files: packages, and a Python."""

from __future__ import annotations

import re
import tomllib
import zipfile
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path

import yaml

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError

# A requirement of an extra, which nobody has asked for.
_EXTRA = re.compile(r";.*\bextra\s*==")


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """The lines of a requirements.txt, None where nothing is said; and the versions of Python that
    it runs on, such as ">=3.12", "" where it doesn't say.
    """

    requirements: str | None = None
    python: str = ""


def required_by(path: Path) -> Written:
    """Return what a folder or a wheel requires; nothing of what is neither.

    A folder's `requirements.txt` counts before the dependencies in its `pyproject.toml`. Raises
    ClipperError for one that can't be read.
    """
    try:
        if path.is_dir():
            return _of_folder(path)
        return _of_wheel(path) if zipfile.is_zipfile(path) else Written()
    except ValueError as error:
        raise ClipperError(
            f"Expected requirements in {path.name} that can be read: {error}",
            code=UNSUPPORTED_MODEL,
        ) from error


def pip_part(conda: Path) -> list[str]:
    """Return what pip is to install of a `conda.yaml`, such as MLflow's."""
    found = yaml.safe_load(conda.read_text(encoding="utf-8")) or {}
    parts = [part for part in found.get("dependencies", []) if isinstance(part, dict)]
    return [str(line) for part in parts for line in part.get("pip", [])]


def _of_folder(folder: Path) -> Written:
    listed, project = folder / "requirements.txt", folder / "pyproject.toml"
    found = {}
    if project.is_file():
        found = tomllib.loads(project.read_text(encoding="utf-8")).get("project", {})
    lines = listed.read_text(encoding="utf-8") if listed.is_file() else None
    return Written(
        requirements=_lines(found.get("dependencies")) if lines is None else lines,
        python=str(found.get("requires-python", "")),
    )


def _of_wheel(wheel: Path) -> Written:
    with zipfile.ZipFile(wheel) as packed:
        found = [name for name in packed.namelist() if name.endswith(".dist-info/METADATA")]
        if not found:
            return Written()
        metadata = HeaderParser().parsestr(packed.read(found[0]).decode())
    required = metadata.get_all("Requires-Dist", [])
    return Written(
        requirements=_lines([line for line in required if not _EXTRA.search(line)]),
        python=str(metadata.get("Requires-Python", "")),
    )


def _lines(required: list[str] | None) -> str | None:
    return "".join(f"{line}\n" for line in required) if required else None
