"""From an estimator in memory to a file that the server's runtime of its framework loads.

One file for each framework, one row in FRAMEWORKS. The first that recognises the model saves it,
so what is a special case of another stands before it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from clipper_client.errors import UNSUPPORTED_MODEL, ClipperError
from clipper_client.frameworks.base import Framework, Saved, Saving

FRAMEWORKS: tuple[str, ...] = (
    "mlflow",
    "transformers",
    "xgboost",
    "lightgbm",
    "catboost",
    "onnx",
    "keras",
    "torch",
    "sklearn",
    "python",
)


def framework_of(model: Any) -> Framework:
    """Return who saves such a model. Raises ClipperError where nobody here can."""
    for name in FRAMEWORKS:
        framework: Framework = importlib.import_module(f"{__name__}.{name}").FRAMEWORK
        if framework.recognises(model):
            return framework
    kind = type(model)
    got = f"a {kind.__module__}.{kind.__qualname__}"
    if isinstance(model, type):
        got = f"the class {model.__qualname__} in place of an instance"
    raise ClipperError(
        f"Expected a model of {', '.join(FRAMEWORKS)}, or the path of an artifact with runtime=, "
        f"got {got}. A function "
        "or a class with pred_batch(inputs) can be anything.",
        code=UNSUPPORTED_MODEL,
    )


def save(model: Any, *, folder: Path, saving: Saving) -> Saved:
    """Save a model into the folder as its framework saves it."""
    return framework_of(model).save(model, folder, saving)
