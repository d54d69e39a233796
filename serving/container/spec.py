"""The specification of how a version is loaded, and what it may take.

Each field but the secret is an option of the commands of ``python -m serving.container`` too, by
its name.
"""

from __future__ import annotations

import argparse
import hashlib
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any, get_type_hints

from serving.container.failures.container_errors import ArtifactCorrupt, ArtifactUnreadable
from serving.container.inputs.signature import INPUT_TYPES

HELP, CHOICES, APART = "help", "choices", "apart"
# A batch is given up well before its replica counts as hung, 10 s at least.
SEARCH_S = 2.0
# A whole batch of a remote model: well before whoever waits takes the replica for hung.
BATCH_S = 45.0


def _said(help: str, **other: Any) -> Mapping[str, Any]:
    return {HELP: help, **other}


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadSpec:
    """One version as a runtime is given it. `artifact` is verified before a runtime reads it."""

    runtime: str
    artifact: Path
    sha256: str
    input_type: str = field(metadata=_said("of its inputs", choices=INPUT_TYPES))
    method: str = field(default="", metadata=_said("what of the model is asked, such as predict"))
    signature: str = field(default="", metadata=_said("of its inputs, as JSON"))
    example: str = field(default="", metadata=_said("an input, as JSON"))
    allow_pickle: bool = False
    allow_stale_libraries: bool = field(
        default=False, metadata=_said("of other releases than the model was trained with")
    )
    device: str = field(default="cpu", metadata=_said('"cpu" or "cuda:0"'))
    threads: int = field(default=1, metadata=_said("for linear algebra"))
    memory_limit_mb: int | None = field(default=None, metadata=_said("that the model may take"))
    search_s: float = field(
        default=SEARCH_S, metadata=_said("for the inputs that break the model, in seconds")
    )
    trial: bool = field(
        default=False, metadata=_said("check it before it serves: what it asks must be there")
    )
    remote_hosts: str = field(default="", metadata=_said("that a remote model may be asked at"))
    batch_s: float = field(
        default=BATCH_S, metadata=_said("for a batch of a remote model, in seconds")
    )
    # In no command line, which everybody on the machine may read, and in no log.
    secret: str = field(default="", repr=False, metadata={APART: True})

    @property
    def content(self) -> bytes:
        """All of its bytes, read anew each time: where a file will do, `artifact` is one."""
        return self.artifact.read_bytes()

    def starts_with(self, *starts: bytes) -> bool:
        """Return whether the artifact begins with one of these."""
        return self.head(max(map(len, starts))).startswith(starts)

    def head(self, size: int) -> bytes:
        with self.artifact.open("rb") as file:
            return file.read(size)

    def verify(self) -> None:
        """Raise ArtifactUnreadable, or ArtifactCorrupt where it isn't what was registered."""
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
        """The options that `from_options` makes the same of, but for what is told apart."""
        told: list[str] = []
        for name, kind in _kinds().items():
            value = getattr(self, name)
            if value is None or value is False or value == "":
                continue
            told.append(_option(name) if kind is bool else f"{_option(name)}={value}")
        return told

    @classmethod
    def from_options(cls, arguments: argparse.Namespace, **apart: Any) -> LoadSpec:
        return cls(**{name: getattr(arguments, name) for name in _kinds()}, **apart)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Have a command take a version."""
    kinds = _kinds()
    for column in _optional():
        option, help = _option(column.name), column.metadata.get(HELP)
        if kinds[column.name] is bool:
            parser.add_argument(option, action="store_true", help=help)
            continue
        given = isinstance(column.default, str | int | float) or column.default is None
        parser.add_argument(
            option,
            type=kinds[column.name],
            required=not given,
            default=column.default if given else None,
            choices=column.metadata.get(CHOICES),
            help=help,
        )


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _kinds() -> dict[str, type[Any]]:
    """Each field's type; of one that may be None, the other."""
    hints = get_type_hints(LoadSpec)
    return {
        column.name: next(
            (kind for kind in getattr(hints[column.name], "__args__", ())), hints[column.name]
        )
        for column in _optional()
    }


def _optional() -> list[Field[Any]]:
    """Those that are options of commands."""
    return [column for column in fields(LoadSpec) if not column.metadata.get(APART)]
