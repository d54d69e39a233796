"""From an estimator in memory to a file that the server's runtime of its framework loads."""

from pathlib import Path
from typing import Any

from clipper_client.clipper_error import unsupported
from clipper_client.frameworks import native, own_code
from clipper_client.frameworks.framework import Framework, Saved, Saving

# The first that recognises a model saves it: a special case of another stands before it.
FRAMEWORKS: tuple[Framework, ...] = (*native.FRAMEWORKS, *own_code.FRAMEWORKS)


def framework_of(model: Any) -> Framework:
    """Return the framework that saves such a model. Raises ClipperError if there is none."""
    for framework in FRAMEWORKS:
        if framework.recognises(model):
            return framework
    kind = type(model)
    got = f"a {kind.__module__}.{kind.__qualname__}"
    if isinstance(model, type):
        got = f"the class {model.__qualname__} in place of an instance"
    names = ", ".join(framework.name for framework in FRAMEWORKS)
    raise unsupported(
        f"Expected a model of {names}, or the path of an artifact with runtime=, got {got}. "
        "A function or a class with pred_batch(inputs) can be anything."
    )


def save(model: Any, *, folder: Path, saving: Saving) -> Saved:
    """Save a model into the folder as its framework saves it."""
    return framework_of(model).save(model, folder, saving)
