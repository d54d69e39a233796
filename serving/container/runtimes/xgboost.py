"""XGBoost models in its own formats, JSON and UBJSON."""

import json
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.container.adapters.scores import (
    Label,
    Numbers,
    of_both,
    read_classes,
    sigmoid,
    softmax,
)
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.rows import InvalidRow
from serving.container.runtimes.base import BoosterModel, of_features, without
from serving.container.spec import LoadSpec

# For estimators of its own, and for frames. They would take a second and 90 MB of every replica.
with without("pandas", "sklearn"):
    import xgboost

# An attribute of a booster that names its classes, as a JSON array.
CLASSES = "classes"
# Where in its C++ XGBoost was when it found something, and when.
WHERE = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+:\d+: ")


class XGBoostModel(BoosterModel):
    """A booster of XGBoost; its scores are margins."""

    def __init__(
        self, booster: xgboost.Booster, *, learner: dict[str, Any], spec: LoadSpec
    ) -> None:
        objective = str(learner["objective"]["name"])
        super().__init__(
            spec=spec,
            objective=objective,
            is_classifier=objective.startswith(("binary:", "multi:")),
            classes=_classes(booster, parameters=learner["learner_model_param"]),
        )
        self._tells_probabilities = objective in ("binary:logistic", "multi:softprob")
        self._is_linear = learner["gradient_booster"]["name"] == "gblinear"
        self._booster = booster
        self._rounds = _rounds(booster)
        self.signature = of_features(
            spec.input_type,
            length=int(booster.num_features()) or None,
            names=booster.feature_names or (),
            nullable=not self._is_linear,
            categories=_categories(learner, names=booster.feature_names or ()),
        )
        self.null_is_declared = self._is_linear

    def probabilities(self, rows: Any) -> Numbers:
        if self._tells_probabilities:
            return super().probabilities(rows)
        margins = self.scores(rows)
        return softmax(margins) if margins.ndim > 1 else of_both(sigmoid(margins))

    def values(self, rows: Any) -> Numbers:
        return self._ask(rows, margins=False)

    def scores(self, rows: Any) -> Numbers:
        return self._ask(rows, margins=True)

    def _ask(self, rows: Any, *, margins: bool) -> Numbers:
        answers: Numbers
        if self._is_linear:  # it can't be asked in place
            _check_size(np.asarray(rows, dtype=np.float64))
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
        return XGBoostModel(booster, learner=learner, spec=spec)
    except xgboost.core.XGBoostError as error:
        said = WHERE.sub("", str(error).partition("\nStack trace:")[0])
        raise ArtifactInvalid(f"expected an XGBoost model, got a broken one: {said}") from error


def _check_size(rows: NDArray[np.float64]) -> None:
    """Raise InvalidRow where XGBoost, which keeps numbers in 32 bits, would have infinity."""
    with np.errstate(over="ignore"):
        lost = np.isinf(rows.astype(np.float32))
    if lost.any():
        raise InvalidRow(f"expected numbers that float32 holds, got {rows[lost][0].item()}")


def _rounds(booster: xgboost.Booster) -> tuple[int, int]:
    """Return the rounds that answer: up to the best, as in scikit-learn's API."""
    best = booster.attr("best_iteration")
    if booster.attr("scikit_learn") is None or best is None:
        return (0, 0)
    return (0, int(best) + 1)


def _categories(learner: dict[str, Any], *, names: Sequence[str]) -> dict[str, list[Any]]:
    """The categories of each column that it was trained with as such, where it has kept them."""
    booster = learner["gradient_booster"]
    forest = (booster["gbtree"] if booster["name"] == "dart" else booster)["model"]
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
