"""Runtimes wrap a framework into the batch interface: one file, one row in RUNTIMES."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import cast

from serving.container.errors import (
    ArtifactCorrupt,
    ArtifactUnreadable,
    ContainerError,
    LoadFailed,
    UnknownRuntime,
    explain,
    let_interrupts_through,
)
from serving.container.parsing import row_parser
from serving.container.pieces import SEARCH_S
from serving.container.predictor import LoadedModel, ModelPredictor, Predictor

ENTRY_POINTS = "clipper.runtimes"

# Name → "module:function"; imported only when used, as each needs its own framework.
RUNTIMES: dict[str, str] = {
    "sklearn": "serving.container.runtimes.sklearn:load",
    "python": "serving.container.runtimes.python:load",
    "command": "serving.container.runtimes.command:load",
}
# These read an artifact without running any of it, as long as pickle isn't allowed.
DATA_ONLY = frozenset({"sklearn"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Artifact:
    """A version's verified bytes, what its registration says of them and where it is to run."""

    content: bytes
    sha256: str
    input_type: str
    allow_pickle: bool
    device: str


# What answers raw JSON by itself is a Predictor already.
Loader = Callable[[Artifact], LoadedModel | Predictor]


def load_predictor(
    *,
    runtime: str,
    path: Path,
    sha256: str,
    input_type: str,
    allow_pickle: bool = False,
    device: str = "cpu",
    search_s: float = SEARCH_S,
) -> Predictor:
    """Load a version's artifact; every refusal and failure is a ContainerError.

    For `search_s` it looks for those of a batch's inputs that break the model.
    """
    load = find_runtime(runtime)
    row_parser(input_type)  # an unknown type is refused before the artifact's code runs
    artifact = Artifact(
        content=read_verified(path, sha256=sha256),
        sha256=sha256.lower(),
        input_type=input_type,
        allow_pickle=allow_pickle,
        device=device,
    )
    try:
        loaded = load(artifact)
    except ContainerError:
        raise
    except BaseException as error:
        let_interrupts_through(error)
        raise LoadFailed(f"the model failed to load: {explain(error)}") from error
    if isinstance(loaded, Predictor):
        return loaded
    return ModelPredictor(loaded, input_type=input_type, search_s=search_s)


def find_runtime(name: str) -> Loader:
    """Return a runtime's loader: one of RUNTIMES, or one that an installed package adds."""
    if target := RUNTIMES.get(name):
        module, _, attribute = target.partition(":")
        try:
            return cast(Loader, getattr(importlib.import_module(module), attribute))
        except ImportError as error:
            raise UnknownRuntime(f"the runtime {name!r} is not installed: {error}") from error
    for entry_point in entry_points(group=ENTRY_POINTS, name=name):
        try:
            return cast(Loader, entry_point.load())
        except BaseException as error:
            let_interrupts_through(error)
            raise UnknownRuntime(f"the runtime {name!r} is broken: {explain(error)}") from error
    raise UnknownRuntime(f"expected a runtime out of {', '.join(runtime_names())}, got {name!r}")


def runtime_names() -> list[str]:
    """Every runtime that a version may name, ours first."""
    return list(dict.fromkeys([*RUNTIMES, *entry_points(group=ENTRY_POINTS).names]))


def runs_code(runtime: str, *, allow_pickle: bool) -> bool:
    """Whether loading such a version runs code of its artifact in the process that loads it.

    An executable never is in that process.
    """
    return allow_pickle or runtime not in (*DATA_ONLY, "command")


def read_verified(path: Path, *, sha256: str) -> bytes:
    """Read an artifact whole and check it against the digest it was registered under."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ArtifactUnreadable(f"cannot read the artifact {path}: {error}") from error
    digest = hashlib.sha256(content).hexdigest()
    if digest != sha256.lower():
        raise ArtifactCorrupt(f"expected an artifact with sha256 {sha256}, got {digest}: {path}")
    return content
