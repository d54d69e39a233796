"""MLflow models of any flavour: a zip of the folder that `save_model` writes.

A flavour unpickles, imports and runs whatever its folder holds, so that a version takes the
permission to run code, and its model has a process of its own. Columns, shapes and types are those
of the model's signature.
"""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any, cast, get_args

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it is read once, when it is imported

import mlflow.pyfunc
import pandas as pd

from serving.container.adapters.archive import kept_folder
from serving.container.adapters.arrays import are_named, by_input, part_of, shaped
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed, explain
from serving.container.inputs.nulls import with_nulls
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import COLUMNS, DType, InputPart, Signature
from serving.container.runtimes import method_of
from serving.container.runtimes.base import FrameworkModel, of_features, of_tensors, unpacked_root
from serving.container.spec import LoadSpec

NUMERIC = "fi"  # the kinds of NumPy's types
REQUIREMENTS = "requirements.txt"


class MLflowModel(FrameworkModel):
    """A python_function, asked with frames, arrays or lists, as its signature says."""

    def __init__(
        self, model: mlflow.pyfunc.PyFuncModel, *, method: str, spec: LoadSpec, folder: Path
    ) -> None:
        self._schema = model.metadata.get_input_schema()
        self._ask = model.predict if method == "predict" else _asked_directly(model, method=method)
        self._method = method
        self.folder = folder
        # MLflow has NaN for a number, whether the model does something with it or not.
        taken = _signature(self._schema, input_type=spec.input_type)
        self.signature = with_nulls(taken, ask=self.predict, example=spec.example)

    def predict(self, inputs: Rows) -> Any:
        return _as_outputs(by_input(self._ask(self._taken(inputs)), method=self._method))

    def _taken(self, rows: Rows) -> Any:
        """Rows as what the signature wants; as they are where there is none."""
        named = are_named(rows)
        if self._schema is None:
            return pd.DataFrame.from_records(rows) if named and isinstance(rows, list) else rows
        if self._schema.is_tensor_spec():
            return self._tensors(rows)
        if named:
            frame = rows if isinstance(rows, pd.DataFrame) else pd.DataFrame.from_records(rows)
            return _typed(frame, schema=self._schema)
        if not self._schema.has_input_names():
            return pd.DataFrame(rows)
        return _typed(pd.DataFrame(rows, columns=self._schema.input_names()), schema=self._schema)

    def _tensors(self, rows: Rows) -> Any:
        if not self._schema.has_input_names():
            (only,) = self._schema.inputs
            return shaped(rows, shape=_shape(only), dtype=only.type)
        return {
            each.name: shaped(
                part_of(rows, name=each.name, place=place), shape=_shape(each), dtype=each.type
            )
            for place, each in enumerate(self._schema.inputs)
        }


def load(spec: LoadSpec) -> MLflowModel:
    method = method_of(spec)
    with kept_folder() as folder:
        root = unpacked_root(spec, into=folder, mark="MLmodel", name="MLflow model")
        return MLflowModel(_open(root), method=method, spec=spec, folder=folder)


def _open(root: Path) -> mlflow.pyfunc.PyFuncModel:
    try:
        return mlflow.pyfunc.load_model(str(root))
    except ImportError as error:
        raise LoadFailed(
            f"the model needs a package that isn't here: {explain(error)}; it says that it needs "
            f"{_requirements(root)}: give the version these as its requirements"
        ) from error
    except mlflow.exceptions.MlflowException as error:
        raise ArtifactInvalid(
            f"expected a model that MLflow loads as a python_function: {error}"
        ) from error


def _requirements(root: Path) -> str:
    try:
        lines = (root / REQUIREMENTS).read_text().split("\n")
    except (OSError, UnicodeDecodeError):
        return f"nothing, having no {REQUIREMENTS}"
    return ", ".join(line.strip() for line in lines if line.strip())


def _asked_directly(model: mlflow.pyfunc.PyFuncModel, *, method: str) -> Any:
    """A method of the model that the flavour wraps, such as scikit-learn's predict_proba."""
    inner: object = None
    with suppress(NotImplementedError, mlflow.exceptions.MlflowException):  # not every flavour has
        inner = model.get_raw_model()
    ask = getattr(inner, method, None)
    if not callable(ask):
        raise ArtifactInvalid(
            f"expected an MLflow model whose own model has {method}(), got {type(inner).__name__}"
        )
    return ask


def _signature(schema: Any, *, input_type: str) -> Signature:
    """Translate MLflow's signature, as far as inputs of this type have it."""
    if schema is None:
        return Signature(input_type=input_type)
    if schema.is_tensor_spec():
        tensors = [
            InputPart(name=each.name or "", dtype=_named(each.type), shape=_shape(each))
            for each in schema.inputs
        ]
        return of_tensors(input_type, tensors)
    kinds = [_dtype(kind) for kind in schema.input_types()]
    if input_type == COLUMNS and schema.has_input_names():
        return Signature(input_type=input_type, inputs=tuple(map(_column, schema.inputs, kinds)))
    numeric = all(kind is not None and kind.kind in NUMERIC for kind in kinds)
    names = schema.input_names() if schema.has_input_names() else ()
    return of_features(input_type, length=len(kinds) if numeric else None, names=names)


def _column(spec: Any, kind: Any) -> InputPart:
    """Translate a column; a required one that isn't a fraction can't be null."""
    must_be = spec.required and kind is not None and kind.kind != "f"
    return InputPart(name=spec.name, dtype=_named(kind), nullable=False if must_be else None)


def _named(kind: Any) -> DType:
    """A type of NumPy's as signatures call it; "" where they don't."""
    if kind is None:
        return ""
    known = {"U": "string", "O": "string", "M": "datetime"}.get(kind.kind, kind.name)
    return cast(DType, known if known in get_args(DType) else "")


def _dtype(kind: Any) -> Any:
    """NumPy's name of a column's type; None of those that it has none for, such as objects."""
    return kind.to_numpy() if hasattr(kind, "to_numpy") else None


def _shape(tensor: Any) -> tuple[int | None, ...]:
    return tuple(None if length < 0 else int(length) for length in tensor.shape[1:])


def _typed(frame: pd.DataFrame, *, schema: Any) -> pd.DataFrame:
    """The frame with whole numbers where the signature has them, which JSON doesn't tell apart."""
    for name, kind in zip(schema.input_names(), schema.input_types(), strict=True):
        dtype = _dtype(kind)
        if (
            dtype is not None
            and dtype.kind in NUMERIC
            and name in frame
            and frame[name].notna().all()
        ):
            frame[name] = frame[name].astype(dtype)
    return frame


def _as_outputs(outputs: Any) -> Any:
    """One output for each row: a value where there is one column, else all of them by name."""
    if isinstance(outputs, pd.DataFrame):
        if outputs.shape[1] == 1:
            return outputs.iloc[:, 0].tolist()
        return outputs.to_dict("records")
    return outputs.to_numpy() if isinstance(outputs, pd.Series) else outputs
