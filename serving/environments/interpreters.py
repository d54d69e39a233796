"""The Pythons of this host that environments are made of, as uv finds them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uv

from serving.container.child.kill import end_group
from serving.container.failures.container_errors import EnvironmentFailed
from serving.container.sandbox.confined import scrubbed_environment
from serving.environments.spec import stack_python

LOOK_WITHIN_S = 60.0
_WHERE = "import sys; print(sys.executable); print(sys.base_prefix)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Interpreter:
    """One that answers; `prefix` is what has to be readable for it to run."""

    path: Path
    prefix: Path


def find(python: str) -> Interpreter:
    """The interpreter of this version, the stack's own where it is that.

    Raises EnvironmentFailed naming those that there are.
    """
    if python == stack_python():
        return Interpreter(path=Path(sys.executable), prefix=Path(sys.base_prefix))
    known = list(_known())
    for version, path in known:
        if f"{version}.".startswith(f"{python}."):
            with suppress(OSError, ValueError, subprocess.SubprocessError):
                return _asked(path)
    there = ", ".join(dict.fromkeys([sys.version.split()[0], *(version for version, _ in known)]))
    raise EnvironmentFailed(f"this host has no Python {python}; it has {there}")


def versions_here() -> list[str]:
    """The versions that there are, in full; none where uv can't tell."""
    with suppress(EnvironmentFailed):
        return [version for version, _ in _known()]
    return []


def uv_binary() -> str:
    return os.fsdecode(uv.find_uv_bin())


def _known() -> Iterator[tuple[str, str]]:
    more = {"UV_PYTHON_DOWNLOADS": "never", "UV_NO_CONFIG": "1"}
    how = ("python", "list", "--only-installed", "--output-format", "json")
    try:
        command = [uv_binary(), *how]
        for found in json.loads(_said_by(command, more=more)):
            if found["path"] and found["implementation"] == "cpython":
                yield str(found["version"]), str(found["path"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        words = said[-500:] or str(error)
        raise EnvironmentFailed(f"uv can't tell which Pythons there are: {words}") from error


def _asked(path: str) -> Interpreter:
    """A path may be that of a script which finds the interpreter, or finds none."""
    executable, prefix = _said_by([path, "-I", "-c", _WHERE], more={}).splitlines()
    return Interpreter(path=Path(executable), prefix=Path(prefix))


def _said_by(command: Sequence[str], *, more: Mapping[str, str]) -> str:
    """Run it, in time; what it starts ends with it. Raises OSError or SubprocessError."""
    process = subprocess.Popen(
        command,
        env=_environment() | dict(more),
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    with process:
        try:
            output, words = process.communicate(timeout=LOOK_WITHIN_S)
        finally:
            end_group(process)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command[0], output, words)
    return output.decode(errors="replace")


def _environment() -> dict[str, str]:
    home = Path(os.environ.get("HOME", "/"))
    return scrubbed_environment(os.environ, home=home)
