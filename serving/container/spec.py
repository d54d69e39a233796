"""The specification of how a version is loaded, and what it may take.

Each field but the secret is an option of the commands of ``python -m serving.container`` too.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from serving.container.failures.container_errors import ArtifactCorrupt, ArtifactUnreadable


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """One version as a runtime is given it. `artifact` is verified before a runtime reads it."""

    runtime: str
    artifact: Path
    sha256: str
    input_type: str
    method: str = ""  # of the model, such as predict
    signature: str = ""  # of its inputs, as JSON
    example: str = ""  # an input, as JSON
    allow_pickle: bool = False
    allow_stale_libraries: bool = False  # of other releases than the model was trained with
    device: str = "cpu"  # or "cuda:0"
    threads: int = 1  # for linear algebra
    memory_limit_mb: int | None = None
    trial: bool = False  # a check of a remote model, whose server has to be there
    remote_hosts: str = ""  # that a remote model may be asked at
    batch_s: float = 45.0  # for one batch: less than after which its replica counts as hung
    # In no command line, which everybody on the machine may read, and in no log.
    secret: str = field(default="", repr=False)

    @property
    def search_s(self) -> float:
        """Return the seconds to look for the inputs that break a batch, well within its own."""
        return min(2.0, self.batch_s / 3)

    @property
    def content(self) -> bytes:
        """All bytes of the artifact, read anew each time; use `artifact` where a file will do."""
        return self.artifact.read_bytes()

    def starts_with(self, *starts: bytes) -> bool:
        """Return whether the artifact begins with one of these."""
        return self.head(max(map(len, starts))).startswith(starts)

    def head(self, size: int) -> bytes:
        with self.artifact.open("rb") as file:
            return file.read(size)

    def verify(self) -> None:
        """Raise ArtifactUnreadable, or ArtifactCorrupt if it isn't what was registered."""
        try:
            with self.artifact.open("rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise ArtifactUnreadable(
                f"cannot read the artifact {self.artifact}: {error}"
            ) from error
        if digest != self.sha256.lower():
            raise ArtifactCorrupt(
                f"expected an artifact with sha256 {self.sha256}, got {digest}: {self.artifact}"
            )

    def options(self) -> list[str]:
        """Return the options that `from_options` reads, without the secret."""
        values = {each.name: getattr(self, each.name) for each in _OPTIONS}
        return [
            _option(name) if value is True else f"{_option(name)}={value}"
            for name, value in values.items()
            if not (value is None or value is False or value == "")
        ]

    @classmethod
    def from_options(cls, arguments: argparse.Namespace, *, secret: str = "") -> LoadSpec:
        values = {each.name: getattr(arguments, each.name) for each in _OPTIONS}
        return cls(**values, secret=secret)


_OPTIONS = [each for each in fields(LoadSpec) if each.name != "secret"]
_PARSERS = {"str": str, "Path": Path, "int": int, "int | None": int, "float": float}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a version to a command."""
    for each in _OPTIONS:
        if each.type == "bool":
            parser.add_argument(_option(each.name), action="store_true")
            continue
        required = each.default is MISSING
        parser.add_argument(
            _option(each.name),
            type=_PARSERS[str(each.type)],
            required=required,
            default=None if required else each.default,
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"
