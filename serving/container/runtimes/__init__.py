"""Runtimes wrap a framework into the batch interface: one file, one row in RUNTIMES."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from serving.container.failures.container_errors import (
    ArtifactInvalid,
    UnknownRuntime,
    explain,
    let_interrupts_through,
)

# Every process asks what runtimes there are, and few load a model: those import NumPy.
if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from serving.container.predictor import LoadedModel, Predictor
    from serving.container.spec import LoadSpec

ENTRY_POINTS = "clipper.runtimes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeRow:
    """A runtime's properties, known without importing it: each needs its own framework.

    A version names one of `methods`; the first is asked if it names none. `data_only`: an artifact
    is read without running any of it, as long as pickle isn't allowed. `needs`: what to install.
    An environment of a version always has `packages`. `self_contained`: an artifact brings all that
    it needs, so that no environment helps it.
    """

    methods: tuple[str, ...] = ()
    data_only: bool = False
    needs: str = ""
    packages: tuple[str, ...] = ()
    self_contained: bool = False
    load: str = ""  # "module:function", `load` of the module of its name unless said


# A label or a value, a probability for each class, and what these are made of.
SCORES = ("predict", "predict_proba", "decision_function")

RUNTIMES: dict[str, RuntimeRow] = {
    "sklearn": RuntimeRow(
        methods=("predict", "predict_proba", "decision_function", "transform"),
        data_only=True,
        needs="scikit-learn and skops",
        packages=("scikit-learn", "skops"),
    ),
    "xgboost": RuntimeRow(
        methods=SCORES,
        data_only=True,
        needs="xgboost (or xgboost-cpu)",
    ),
    "lightgbm": RuntimeRow(
        methods=SCORES,
        data_only=True,
        needs="lightgbm",
        packages=("lightgbm",),
    ),
    "catboost": RuntimeRow(
        methods=SCORES,
        needs="catboost",
        packages=("catboost",),
    ),
    "onnx": RuntimeRow(
        methods=("predict", "predict_proba", "outputs"),
        data_only=True,
        needs="onnxruntime (or onnxruntime-gpu)",
    ),
    "torch": RuntimeRow(
        methods=("predict", "softmax", "argmax"),
        needs="torch",
        packages=("torch",),
    ),
    "tensorflow": RuntimeRow(
        methods=("predict", "softmax", "argmax"),
        needs="tensorflow (or tensorflow-cpu)",
    ),
    "transformers": RuntimeRow(
        methods=("predict", "predict_proba"),
        needs="transformers and torch",
        packages=("transformers", "torch"),
    ),
    "mlflow": RuntimeRow(
        methods=("predict", "predict_proba"),
        needs="mlflow (or mlflow-skinny and pandas) and what the model was saved with",
        packages=("mlflow-skinny", "pandas"),
    ),
    "python": RuntimeRow(),
    "command": RuntimeRow(self_contained=True),
    "remote": RuntimeRow(data_only=True, self_contained=True),
}

HOW = "among the requirements of the version"
# What answers raw JSON by itself is a Predictor already.
Loader = Callable[["LoadSpec"], "LoadedModel | Predictor"]


def find_runtime(name: str) -> Loader:
    """Return a runtime's loader: one of RUNTIMES, or one that an installed package adds."""
    if runtime := RUNTIMES.get(name):
        module, _, attribute = place_of(name).partition(":")
        try:
            return cast(Loader, getattr(importlib.import_module(module), attribute))
        except ImportError as error:
            need = f", it needs {runtime.needs} {HOW}" if runtime.needs else ""
            raise UnknownRuntime(f"the runtime {name!r} is not installed{need}: {error}") from error
    for entry_point in (added for added in _added() if added.name == name):
        try:
            return cast(Loader, entry_point.load())
        except BaseException as error:
            let_interrupts_through(error)
            raise UnknownRuntime(f"the runtime {name!r} is broken: {explain(error)}") from error
    raise UnknownRuntime(f"expected a runtime out of {', '.join(runtime_names())}, got {name!r}")


def runtime_names() -> list[str]:
    """Every runtime that a version may name, ours first."""
    return list(dict.fromkeys([*RUNTIMES, *(added.name for added in _added())]))


def _added() -> Iterable[EntryPoint]:
    """The runtimes that installed packages add."""
    # Most versions are of ours, and it would be a tenth of what a check's start takes.
    from importlib.metadata import entry_points

    return entry_points(group=ENTRY_POINTS)


def place_of(name: str) -> str:
    """Return where one of RUNTIMES is, as "module:function"."""
    return RUNTIMES[name].load or f"{__name__}.{name}:load"


def row_of(name: str) -> RuntimeRow:
    """Return a runtime's row; an empty one for what an installed package adds."""
    return RUNTIMES.get(name, RuntimeRow())


def method_of(spec: LoadSpec) -> str:
    """Return the method that a version asks; raises ArtifactInvalid for an unknown one."""
    methods = row_of(spec.runtime).methods
    method = spec.method or methods[0]
    if method not in methods:
        raise ArtifactInvalid(f"expected a method out of {', '.join(methods)}, got {method!r}")
    return method
