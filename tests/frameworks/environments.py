"""An environment for each framework whose tests aren't run in ours, built as versions' are.

`python -m tests.frameworks.environments NAME ...` builds them and runs the tests in each. They lie
in the user's cache, so that a fresh clone finds them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.container.errors import EnvironmentFailed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipper-frameworks"
# Wheels at hand; PyTorch without CUDA may be among them.
WHEELHOUSE = os.environ.get("PIP_FIND_LINKS", "")
OF_TORCH = ("torch", "transformers")
# Says in the environment of a process that it is one of these.
MARK = "CLIPPER_FRAMEWORK"
TESTED_WITHIN_S = 600.0


def is_one() -> bool:
    """Whether this process runs in a framework's environment."""
    return MARK in os.environ


def too_large(name: str) -> str:
    """Why the tests of a framework can't be run within bounds, "" where they can."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if name not in OF_TORCH or sys.platform != "linux":
        return ""
    if WHEELHOUSE and any(Path(WHEELHOUSE).glob(f"torch-*+cpu-{python}-*.whl")):
        return ""
    return (
        "PyPI's PyTorch for Linux brings 3 GB of CUDA: put a CPU build for this Python into a "
        "folder and name it in PIP_FIND_LINKS"
    )


def run_tests(name: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a framework in its environment; raises EnvironmentFailed."""
    with environment(name) as python:
        return subprocess.run(
            [
                *(python, "-m", "pytest", f"tests/frameworks/test_{name}_runtime.py"),
                *("-c", str(HERE / "pytest.ini"), "--confcutdir", str(HERE)),
            ],
            cwd=ROOT,
            # Files that weren't there when it was built would make it count as damaged.
            env={**os.environ, MARK: name, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=TESTED_WITHIN_S,
            check=False,
        )


@contextmanager
def environment(name: str) -> Iterator[Path]:
    """The Python of a framework's environment, which is built where it isn't there as a whole."""
    # The tests themselves run in environments that have none of what is needed to build them.
    from registry.requirements import parse
    from serving.environments.rules import Rules
    from serving.environments.spec import EnvironmentSpec, stack_python
    from serving.environments.store import Environments

    text = "\n".join((REQUIREMENTS / f"{file}.txt").read_text() for file in (name, "all"))
    spec = EnvironmentSpec(requirements=parse(text), python=stack_python())
    held = Environments(CACHE, rules=Rules(wheelhouse=WHEELHOUSE)).prepare(spec, afresh=True)
    try:
        yield held.folder / "bin" / "python"
    finally:
        held.release()


def main(names: list[str]) -> int:
    failed = []
    for name in names:
        if reason := too_large(name):
            print(f"{name}: left out: {reason}")
            continue
        try:
            result = run_tests(name)
        except EnvironmentFailed as error:
            print(f"{name}: {error}")
            failed.append(name)
            continue
        print(f"{name}:\n{result.stdout}", flush=True)
        failed += [name] if result.returncode else []
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
