"""The virtual environment of a version that brings one, as who starts its program knows it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelEnvironment:
    """A virtual environment that a version brings, and where the Python lies that it is made of."""

    folder: Path
    prefix: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    @property
    def readable(self) -> tuple[Path, Path]:
        """What a program in it has to read."""
        return self.folder, self.prefix
