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

    `load` is "module:function". `methods` are what of a model a version may have asked, the first
    where it doesn't say; none where there is no choice. `data_only`: an artifact is read without
    running any of it, as long as pickle isn't allowed. `needs`: what to install. `packages` are the
    requirements that an environment built for a version always meets, beside those of the version.
    `self_contained`: an artifact brings all that it needs, so that no environment helps it.
    """

    load: str
    methods: tuple[str, ...] = ()
    data_only: bool = False
    needs: str = ""
    packages: tuple[str, ...] = ()
    self_contained: bool = False


# A label or a value, a probability for each class, and what these are made of.
SCORES = ("predict", "predict_proba", "decision_function")

RUNTIMES: dict[str, RuntimeRow] = {
    "sklearn": RuntimeRow(
        load="serving.container.runtimes.sklearn:load",
        methods=("predict", "predict_proba", "decision_function", "transform"),
        data_only=True,
        needs="scikit-learn and skops",
        packages=("scikit-learn", "skops"),
    ),
    "xgboost": RuntimeRow(
        load="serving.container.runtimes.xgboost:load",
        methods=SCORES,
        data_only=True,
        needs="xgboost (or xgboost-cpu)",
    ),
    "lightgbm": RuntimeRow(
        load="serving.container.runtimes.lightgbm:load",
        methods=SCORES,
        data_only=True,
        needs="lightgbm",
        packages=("lightgbm",),
    ),
    "catboost": RuntimeRow(
        load="serving.container.runtimes.catboost:load",
        methods=SCORES,
        needs="catboost",
        packages=("catboost",),
    ),
    "onnx": RuntimeRow(
        load="serving.container.runtimes.onnx:load",
        methods=("predict", "predict_proba", "outputs"),
        data_only=True,
        needs="onnxruntime (or onnxruntime-gpu)",
    ),
    "torch": RuntimeRow(
        load="serving.container.runtimes.torch:load",
        methods=("predict", "softmax", "argmax"),
        needs="torch",
        packages=("torch",),
    ),
    "tensorflow": RuntimeRow(
        load="serving.container.runtimes.tensorflow:load",
        methods=("predict", "softmax", "argmax"),
        needs="tensorflow (or tensorflow-cpu)",
    ),
    "transformers": RuntimeRow(
        load="serving.container.runtimes.transformers:load",
        methods=("predict", "predict_proba"),
        needs="transformers and torch",
        packages=("transformers", "torch"),
    ),
    "mlflow": RuntimeRow(
        load="serving.container.runtimes.mlflow:load",
        methods=("predict", "predict_proba"),
        needs="mlflow (or mlflow-skinny and pandas) and what the model was saved with",
        packages=("mlflow-skinny", "pandas"),
    ),
    "python": RuntimeRow(load="serving.container.runtimes.python:load"),
    "command": RuntimeRow(load="serving.container.runtimes.command:load", self_contained=True),
    "remote": RuntimeRow(
        load="serving.container.runtimes.remote:load", data_only=True, self_contained=True
    ),
}

HOW = "among the requirements of the version"
# What answers raw JSON by itself is a Predictor already.
Loader = Callable[["LoadSpec"], "LoadedModel | Predictor"]


def find_runtime(name: str) -> Loader:
    """Return a runtime's loader: one of RUNTIMES, or one that an installed package adds."""
    if runtime := RUNTIMES.get(name):
        module, _, attribute = runtime.load.partition(":")
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


def runs_code(runtime: str, *, allow_pickle: bool) -> bool:
    """Return whether loading such a version runs code of its artifact in the loading process."""
    return allow_pickle or runtime not in (*data_only(), "command")


def data_only() -> list[str]:
    """The runtimes that run nothing of what they read, as long as pickle isn't allowed."""
    return [name for name, runtime in RUNTIMES.items() if runtime.data_only]


def self_contained() -> list[str]:
    """Return the runtimes whose artifacts bring all that they need, or have nothing to load."""
    return [name for name, runtime in RUNTIMES.items() if runtime.self_contained]


def packages_of(name: str) -> tuple[str, ...]:
    """Return the packages that an environment of this runtime's versions always has."""
    runtime = RUNTIMES.get(name)
    return runtime.packages if runtime else ()


def method_of(spec: LoadSpec) -> str:
    """Return the method that a version asks; raises ArtifactInvalid for an unknown one."""
    methods = methods_of(spec.runtime)
    method = spec.method or methods[0]
    if method not in methods:
        raise ArtifactInvalid(f"expected a method out of {', '.join(methods)}, got {method!r}")
    return method


def methods_of(name: str) -> tuple[str, ...]:
    """Return the methods that a version of this runtime may name; none if there is no choice."""
    runtime = RUNTIMES.get(name)
    return runtime.methods if runtime else ()
