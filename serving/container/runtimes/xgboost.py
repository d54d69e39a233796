"""XGBoost models in its own formats, JSON and UBJSON.

Neither holds code: trees or weights, and the names of objectives that XGBoost looks up in itself.
Pickled models are refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from serving.container.arrays import as_matrix
from serving.container.errors import ArtifactInvalid
from serving.container.inputs import of_features
from serving.container.rows import InvalidRow, Rows
from serving.container.runtimes import method_of
from serving.container.scores import (
    Label,
    Numbers,
    most_likely,
    of_both,
    read_classes,
    sigmoid,
    softmax,
)
from serving.container.spec import LoadSpec
from serving.container.unimported import without

# For estimators of its own, and for frames. They would take a second and 90 MB of every replica.
with without("pandas", "sklearn"):
    import xgboost

# An attribute of a booster that names its classes, as a JSON array.
CLASSES = "classes"
CLASSIFIERS = ("binary:", "multi:")
DART, LINEAR = "dart", "gblinear"
# Where in its C++ XGBoost was when it found something, and when.
WHERE = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+:\d+: ")
# Those whose own prediction is the probabilities.
TELL_PROBABILITIES = ("binary:logistic", "multi:softprob")


class XGBoostModel:
    """A booster, asked for labels or values, probabilities, or margins."""

    def __init__(
        self, booster: xgboost.Booster, *, learner: dict[str, Any], method: str, input_type: str
    ) -> None:
        self._objective = str(learner["objective"]["name"])
        self._is_linear = learner["gradient_booster"]["name"] == LINEAR
        self._booster = booster
        self._rounds = _rounds(booster)
        self._classes = _classes(booster, parameters=learner["learner_model_param"])
        self._is_classifier = self._objective.startswith(CLASSIFIERS)
        if method == "predict_proba" and not self._is_classifier:
            raise ArtifactInvalid(
                f"expected a classifier for predict_proba, got one with {self._objective}"
            )
        self._answer = {
            "predict": self._labels if self._is_classifier else self._values,
            "predict_proba": self._probabilities,
            "decision_function": self._margins,
        }[method]
        self.signature = of_features(
            input_type,
            length=int(booster.num_features()) or None,
            names=booster.feature_names or (),
            nullable=not self._is_linear,
            categories=_categories(learner, names=booster.feature_names or ()),
        )
        self.n_features = self.signature.length
        self.null_is_declared = self._is_linear

    def predict(self, inputs: Rows) -> Any:
        return self._answer(inputs)

    def warm_up(self) -> None:
        """Nothing of its own: answering a first batch is what warms a booster."""

    def close(self) -> None:
        """Nothing was taken."""

    def _labels(self, inputs: Rows) -> Any:
        return most_likely(self._probabilities(inputs), classes=self._classes)

    def _probabilities(self, inputs: Rows) -> Numbers:
        if self._objective in TELL_PROBABILITIES:
            told = self._values(inputs)
        else:
            margins = self._margins(inputs)
            told = softmax(margins) if margins.ndim > 1 else sigmoid(margins)
        return told if told.ndim > 1 else of_both(told)

    def _values(self, inputs: Rows) -> Numbers:
        return self._ask(inputs, margins=False)

    def _margins(self, inputs: Rows) -> Numbers:
        return self._ask(inputs, margins=True)

    def _ask(self, inputs: Rows, *, margins: bool) -> Numbers:
        answers: Numbers
        rows = as_matrix(inputs)
        if self._is_linear:  # it can't be asked in place
            _check_size(rows)
            matrix = xgboost.DMatrix(rows, nthread=1)
            answers = self._booster.predict(
                matrix, output_margin=margins, iteration_range=self._rounds, validate_features=False
            )
            return answers
        answers = self._booster.inplace_predict(
            rows,
            predict_type="margin" if margins else "value",
            iteration_range=self._rounds,
            validate_features=False,  # rows have no names, and as many numbers as they need
        )
        return answers


def load(spec: LoadSpec) -> XGBoostModel:
    method = method_of(spec)
    if not spec.starts_with(b"{"):
        raise ArtifactInvalid(
            "expected a model saved by save_model('model.json') or ('model.ubj'), "
            f"got a file starting {spec.head(8)!r}"
        )
    booster = xgboost.Booster()
    try:
        booster.load_model(bytearray(spec.content))
        booster.set_param({"nthread": spec.threads, "device": spec.device})
        learner = json.loads(booster.save_raw(raw_format="json"))["learner"]
        return XGBoostModel(booster, learner=learner, method=method, input_type=spec.input_type)
    except xgboost.core.XGBoostError as error:
        said = WHERE.sub("", str(error).partition("\nStack trace:")[0])
        raise ArtifactInvalid(f"expected an XGBoost model, got a broken one: {said}") from error


def _check_size(rows: Any) -> None:
    """Raise InvalidRow where XGBoost, which keeps numbers in 32 bits, would have infinity."""
    told = rows.select_dtypes("number") if hasattr(rows, "select_dtypes") else rows
    numbers = np.asarray(told, dtype=np.float64)
    with np.errstate(over="ignore"):
        lost = np.isinf(numbers.astype(np.float32))
    if lost.any():
        raise InvalidRow(f"expected numbers that float32 holds, got {numbers[lost][0].item()}")


def _rounds(booster: xgboost.Booster) -> tuple[int, int]:
    """Which rounds answer: as in scikit-learn's API the best, where it was fitted by that."""
    best = booster.attr("best_iteration")
    if booster.attr("scikit_learn") is None or best is None:
        return (0, 0)
    return (0, int(best) + 1)


def _categories(learner: dict[str, Any], *, names: Sequence[str]) -> dict[str, list[Any]]:
    """The categories of each column that it was trained with as such, where it has kept them."""
    booster = learner["gradient_booster"]
    forest = (booster["gbtree"] if booster["name"] == DART else booster)["model"]
    kept = forest.get("cats", {}).get("enc", [])
    return {
        name: _decoded(column)
        for name, column in zip(names, kept, strict=False)
        if column["values"]
    }


def _decoded(column: dict[str, list[Any]]) -> list[Any]:
    """One column's categories: numbers as they are, texts in UTF-8 one after the other."""
    offsets = column.get("offsets")
    if not offsets:
        return column["values"]
    text = bytes(code & 0xFF for code in column["values"])
    return [text[start:end].decode() for start, end in pairwise(offsets)]


def _classes(booster: xgboost.Booster, *, parameters: dict[str, str]) -> Sequence[Label] | None:
    named = booster.attr(CLASSES)
    return read_classes(named, count=max(int(parameters["num_class"]), 2)) if named else None
