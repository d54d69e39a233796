"""An environment for each framework whose tests aren't run in ours, built as versions' are."""

import os
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
REQUIREMENTS = HERE / "requirements"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipper-frameworks"
# Wheels at hand; PyTorch without CUDA may be among them.
WHEELHOUSE = os.environ.get("PIP_FIND_LINKS", "")
# The pages of docs/tutorial that are too much for `make test`, models behind real servers, tests
# that are marked as long, and those of the path of a query once more, compiled.
TUTORIALS, SERVERS, LONG, COMPILED = "tutorials", "servers", "long", "compiled"
OF_TORCH = ("torch", "transformers", "exports")
# Says in the environment of a process that it is one of these.
MARK = "CLIPPER_FRAMEWORK"


def is_one() -> bool:
    """Return whether this process runs in a framework's environment."""
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


@contextmanager
def environment(name: str) -> Iterator[Path]:
    """The Python of a framework's environment, which is built where it isn't there as a whole.

    The client is as good as installed in it. Raises EnvironmentFailed.
    """
    files = [(REQUIREMENTS / f"{file}.txt").read_text(encoding="utf-8") for file in (name, "all")]
    with built("\n".join((*files, *needs_of_the_client()))) as python:
        yield python


@contextmanager
def python_of(name: str) -> Iterator[Path]:
    """The Python in which models of a framework are trained; that of "" is ours."""
    if name:
        with environment(name) as python:
            yield python
    else:
        yield Path(sys.executable)


@contextmanager
def built(requirements: str) -> Iterator[Path]:
    """The Python of an environment that meets a requirements.txt. Raises EnvironmentFailed."""
    # The tests themselves run in environments that have none of what is needed to build them.
    from registry.versions.package_requirements import parse
    from serving.environments.rules import Rules
    from serving.environments.spec import EnvironmentSpec, stack_python
    from serving.environments.store import Environments

    spec = EnvironmentSpec(requirements=parse(requirements), python=stack_python())
    held = Environments(CACHE, rules=Rules(wheelhouse=WHEELHOUSE)).prepare(spec, afresh=True)
    try:
        yield held.folder / "bin" / "python"
    finally:
        held.release()


def needs_of_the_client() -> list[str]:
    """Return the requirements of the client, which deploys the framework's models."""
    told = tomllib.loads((ROOT / "clients/python/pyproject.toml").read_text(encoding="utf-8"))
    return list(told["project"]["dependencies"])
