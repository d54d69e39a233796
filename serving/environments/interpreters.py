"""The Pythons of this host that environments are made of, as uv finds them."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
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
    """Return the interpreter of this version; raises EnvironmentFailed naming those there are."""
    if python == stack_python():
        return Interpreter(path=Path(sys.executable), prefix=Path(sys.base_prefix))
    known = list(_known())
    for version, path in known:
        if f"{version}.".startswith(f"{python}."):
            with suppress(OSError, ValueError, subprocess.SubprocessError):
                # It may be a script which finds the interpreter, or finds none.
                executable, prefix = _run(path, "-I", "-c", _WHERE).splitlines()
                return Interpreter(path=Path(executable), prefix=Path(prefix))
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
    command = ("python", "list", "--only-installed", "--no-config", "--output-format", "json")
    try:
        for found in json.loads(_run(uv_binary(), *command)):
            if found["path"] and found["implementation"] == "cpython":
                yield str(found["version"]), str(found["path"])
    except (OSError, subprocess.SubprocessError, ValueError, KeyError, TypeError) as error:
        said = (getattr(error, "stderr", None) or b"").decode(errors="replace").strip()
        words = said[-500:] or str(error)
        raise EnvironmentFailed(f"uv can't tell which Pythons there are: {words}") from error


def _run(*command: str) -> str:
    """Return its output, in time; what it starts ends with it. Raises OSError, SubprocessError."""
    process = subprocess.Popen(
        command,
        env=scrubbed_environment(os.environ, home=Path(os.environ.get("HOME", "/"))),
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
