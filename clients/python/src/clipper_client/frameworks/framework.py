"""A framework as a row: its name, how its models are recognised, and how they are saved."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from clipper_client.inputs import encoded


@dataclass(frozen=True, slots=True, kw_only=True)
class Saving:
    """Options beside the model: an example of its inputs, and the method to ask."""

    example: Any = None
    method: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """An artifact with its runtime and requirements: names, or whole lines.

    `written` is a requirements.txt that came with it, and counts alone. `has_method`: the artifact
    asks the method itself.
    """

    path: Path
    runtime: str
    requirements: tuple[str, ...] = ()
    written: str | None = None
    requires_python: str = ""
    has_method: bool = False


@dataclass(frozen=True, slots=True)
class Framework:
    """One row; a model is recognised without importing its framework."""

    name: str
    recognises: Callable[[Any], bool]
    save: Callable[[Any, Path, Saving], Saved]


def kinds_of(model: Any) -> Iterator[str]:
    """Yield the full names of a model's class and of all that it derives from."""
    for kind in type(model).__mro__:
        yield f"{kind.__module__}.{kind.__qualname__}"


def is_of(model: Any, *packages: str) -> bool:
    """Return whether its class, or one it derives from, is of one of these packages."""
    return any(name.partition(".")[0] in packages for name in kinds_of(model))


def made_by(model: Any, *packages: str) -> bool:
    """Return whether its own class is of one of these packages."""
    return type(model).__module__.partition(".")[0] in packages


def labels_of(model: Any) -> str | None:
    """Return a classifier's labels as JSON; None where they are numbered from 0 anyway."""
    labels = getattr(model, "classes_", None)
    if labels is None:
        return None
    listed = labels.tolist() if hasattr(labels, "tolist") else list(labels)
    return None if listed == list(range(len(listed))) else encoded(listed).decode()
