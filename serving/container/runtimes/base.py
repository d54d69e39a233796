"""Shared parts of the runtimes: a framework's model, and the folder of its artifact's files."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from serving.container.adapters.archive import unpack
from serving.container.adapters.arrays import as_matrix, in_batches
from serving.container.adapters.model_inputs import of_tensors
from serving.container.adapters.scores import Label, Numbers, most_likely, of_both, softmax
from serving.container.adapters.tensors_io import TensorInput, by_row, feed, first_of
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import Signature
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
