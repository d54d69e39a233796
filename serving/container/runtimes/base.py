"""Shared parts of the runtimes: a framework's model, and the folder of its artifact's files."""

import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from serving.container.adapters.archive import unpack
from serving.container.adapters.arrays import (
    TensorInput,
    as_matrix,
    by_row,
    feed,
    first_of,
    in_batches,
)
from serving.container.adapters.scores import Label, Numbers, most_likely, of_both, softmax
from serving.container.failures.container_errors import ArtifactInvalid, LoadFailed
from serving.container.inputs.data_frames import pandas_here
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import (
    ARRAY_DTYPES,
    COLUMNS,
    TENSOR,
    Category,
    InputPart,
    Signature,
)
from serving.container.runtimes import method_of
from serving.container.spec import LoadSpec


class FrameworkModel:
    """A LoadedModel that a subclass gives its `signature` and its `predict`.

    The files in `folder`, if there is one, go when it is closed.
    """

    signature: Signature
    folder: Path | None = None

    @property
    def n_features(self) -> int | None:
        return self.signature.length

    def warm_up(self) -> None:
        """Do nothing: the first batch warms most models."""

    def close(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


class BoosterModel(FrameworkModel):
    """Trees or weights, asked for labels or values, probabilities, or raw scores.

    A subclass answers `values`, by default a classifier's probabilities, and `scores`.
    """

    def __init__(
        self,
        *,
        spec: LoadSpec,
        objective: str,
        is_classifier: bool,
        classes: Sequence[Label] | None,
    ) -> None:
        method = method_of(spec)
        if method == "predict_proba" and not is_classifier:
            raise ArtifactInvalid(f"expected a classifier for predict_proba, got {objective}")
        self._classes = classes
        self.answer = {
            "predict": self.labels if is_classifier else self.values,
            "predict_proba": self.probabilities,
            "decision_function": self.scores,
        }[method]

    def predict(self, inputs: Rows) -> Any:
        return self.answer(as_matrix(inputs))

    def labels(self, rows: Any) -> Any:
        return most_likely(self.probabilities(rows), classes=self._classes)

    def probabilities(self, rows: Any) -> Numbers:
        found = self.values(rows)
        return found if found.ndim > 1 else of_both(found)

    def values(self, rows: Any) -> Numbers:
        raise NotImplementedError

    def scores(self, rows: Any) -> Numbers:
        raise NotImplementedError


class TensorModel(FrameworkModel):
    """A function of tensors by name, asked for its outputs, their softmax or their argmax.

    A subclass answers `outputs`, for as many rows as the model takes at once.
    """

    # NaN becomes NaN in a network, and a label of that.
    null_is_declared = True

    def __init__(self, *, inputs: Sequence[TensorInput], spec: LoadSpec) -> None:
        self.inputs = inputs
        self.method = method_of(spec)
        self._batch = next((each.batch for each in inputs if each.batch), None)
        self.signature = of_tensors(spec.input_type, [each.part for each in inputs])

    def predict(self, inputs: Rows) -> Any:
        return in_batches(inputs, size=self._batch, ask=self._ask)

    def _ask(self, rows: Rows) -> Any:
        outputs = self.outputs(feed(rows, inputs=self.inputs))
        if self.method == "softmax":
            return softmax(first_of(outputs))
        return most_likely(first_of(outputs)) if self.method == "argmax" else by_row(outputs)

    def outputs(self, tensors: Mapping[str, NDArray[Any]]) -> Any:
        raise NotImplementedError


def sole_file(folder: Path, pattern: str) -> Path:
    """Return the only file of this pattern at any depth of an unpacked zip."""
    found = sorted(folder.rglob(pattern))
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise ArtifactInvalid(f"expected one {pattern[1:]} file in the zip, got {names}")
    return found[0]


def unpacked_root(spec: LoadSpec, *, into: Path, mark: str, name: str) -> Path:
    """Unpack a zip; return the folder in it that has the file `mark`: its top, or one within."""
    unpack(spec.artifact, into=into)
    found = sorted({path.parent for path in (*into.glob(mark), *into.glob(f"*/{mark}"))})
    if len(found) != 1:
        raise ArtifactInvalid(
            f"expected a zip of one {name}, with its file {mark}, got {len(found)}"
        )
    return found[0]


def of_features(
    input_type: str,
    *,
    length: int | None,
    names: Sequence[str] = (),
    nullable: bool | None = None,
    categories: Mapping[str, Sequence[Category]] | None = None,
) -> Signature:
    """Return the signature of a model of numeric features; raises LoadFailed without pandas."""
    if input_type == COLUMNS and names:
        known = categories or {}
        if known and pandas_here() is None:
            raise LoadFailed(
                "rows with categories take pandas, which isn't installed: name it among the "
                "requirements of the version"
            )
        parts = [
            InputPart(name=name, dtype="category", nullable=True, categories=tuple(known[name]))
            if name in known
            else InputPart(name=name, dtype="float64", nullable=nullable)
            for name in names
        ]
        return Signature(input_type=input_type, inputs=tuple(parts))
    if input_type in ARRAY_DTYPES and length is not None:
        part = InputPart(dtype=ARRAY_DTYPES[input_type], shape=(length,), nullable=nullable)
        return Signature(input_type=input_type, inputs=(part,), names=tuple(names))
    return Signature(input_type=input_type)


def of_tensors(input_type: str, parts: Sequence[InputPart]) -> Signature:
    """Return the signature of a model of tensors, which arrays or columns can feed as well."""
    if input_type == TENSOR:
        return Signature(input_type=input_type, inputs=tuple(parts))
    if input_type == COLUMNS and all(part.shape in ((), (1,)) for part in parts):
        # Only floating-point numbers have a value that stands for none.
        columns = [
            InputPart(
                name=part.name,
                dtype=part.dtype,
                nullable=None if part.dtype.startswith("float") or not part.dtype else False,
            )
            for part in parts
        ]
        return Signature(input_type=input_type, inputs=tuple(columns))
    lengths = [_length(part) for part in parts]
    if None in lengths or not lengths:
        return Signature(input_type=input_type)
    return Signature.of(input_type, length=sum(filter(None, lengths)))


def _length(part: InputPart) -> int | None:
    """Return the fixed number of values of a tensor, or None."""
    if part.shape is None or part.dtype == "string":
        return None
    known = [size for size in part.shape if size is not None]
    return prod(known) if len(known) == len(part.shape) else None


@contextmanager
def without(*names: str) -> Iterator[None]:
    """Import packages with some optional dependencies hidden, for good."""
    hidden = [name for name in names if name not in sys.modules]
    # Importing takes None for a missing module.
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
