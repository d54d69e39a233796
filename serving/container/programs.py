"""Programs with a version's code in them, as who starts one knows them.

Nothing of what answers queries is needed for that, NumPy included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.container.confined import confined_command
from serving.container.spec import LoadSpec

ROOT = Path(__file__).resolve().parent.parent.parent
# What a failure takes at most: its traceback and its words, with each letter escaped.
LONGEST_LINE = 1 << 18
# How a reason ends that is given for a process which could not give one itself.
WHILE_LOADING = "while the model was loading"


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


def model_command(
    program: Sequence[str],
    *,
    write: Path,
    spec: LoadSpec,
    environment: ModelEnvironment | None,
    gives_way: bool = False,
) -> list[str]:
    """The command that runs a program with a version's code confined, in the environment's Python.

    It may read the artifact and the environment, and write into `write`.
    """
    return confined_command(
        program,
        write=[write],
        read=[spec.artifact, *(environment.readable if environment else ())],
        other_python=environment.python if environment else None,
        # An executable is asked over a socket of its own.
        sockets=spec.runtime == "command",
        gives_way=gives_way,
        shared_mb=spec.memory_limit_mb,
    )
