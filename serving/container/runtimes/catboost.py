"""CatBoost models in its own binary format, `.cbm`.

It holds trees and the names of classes, and no code. But CatBoost checks only that the file is well
formed: what its trees say is believed, and a few changed bytes have it read and write other memory.
So a version takes the permission to run code, and its model has a process of its own. Pickled
models, and those in JSON or as source code, are none of its business.
"""

from typing import Any

import catboost
import numpy as np

from serving.container.adapters.arrays import as_matrix
from serving.container.adapters.scores import Numbers
from serving.container.failures.container_errors import ArtifactInvalid
from serving.container.inputs.rows import Rows
from serving.container.inputs.signature import COLUMNS, InputPart, Signature
from serving.container.runtimes.base import BoosterModel, of_features
from serving.container.spec import LoadSpec

MAGIC = b"CBM1"


class CatBoostModel(BoosterModel):
    """A model of CatBoost; its scores are raw values."""

    def __init__(self, model: catboost.CatBoost, *, spec: LoadSpec) -> None:
        classes = np.asarray(model.classes_).tolist()
        super().__init__(
            spec=spec,
            objective="a regressor",
            is_classifier=bool(classes),
            classes=classes,
        )
        self._value = "Probability" if classes else "RawFormulaVal"
        self._model = model
        self._threads = spec.threads
        self._texts = {*model.get_cat_feature_indices(), *model.get_text_feature_indices()}
        self.signature = self._signature(model, input_type=spec.input_type)

    def predict(self, inputs: Rows) -> Any:
        return self.answer(inputs if self._texts else as_matrix(inputs))

    def values(self, rows: Rows) -> Numbers:
        return self._ask(rows, kind=self._value)

    def scores(self, rows: Rows) -> Numbers:
        return self._ask(rows, kind="RawFormulaVal")

    def _ask(self, rows: Rows, *, kind: str) -> Numbers:
        answers = self._model.predict(rows, prediction_type=kind, thread_count=self._threads)
        return np.asarray(answers)

    def _signature(self, model: catboost.CatBoost, *, input_type: str) -> Signature:
        """Categories are texts or whole numbers, and any text will do where one wasn't seen."""
        names = model.feature_names_
        if input_type == COLUMNS and self._texts:
            parts = [
                InputPart(name=name, dtype="string", nullable=False)
                if place in self._texts
                else InputPart(name=name, dtype="float64", nullable=True)
                for place, name in enumerate(names)
            ]
            return Signature(input_type=input_type, inputs=tuple(parts))
        length = None if self._texts else len(names)
        return of_features(input_type, length=length, names=names, nullable=True)


def load(spec: LoadSpec) -> CatBoostModel:
    if not spec.starts_with(MAGIC):
        raise ArtifactInvalid(
            "expected a model saved by save_model('model.cbm'), "
            f"got a file starting {spec.head(8)!r}"
        )
    header = spec.head(8)  # the magic, and how long the rest is
    if spec.artifact.stat().st_size < len(header) + int.from_bytes(header[len(MAGIC) :], "little"):
        raise ArtifactInvalid("expected a whole CatBoost model, got a file that was cut off")
    model = catboost.CatBoost()
    try:
        model.load_model(str(spec.artifact), format="cbm")
    except catboost.CatBoostError as error:
        raise ArtifactInvalid(f"expected a CatBoost model, got a broken one: {error}") from error
    return CatBoostModel(model, spec=spec)
