"""The linear model as a service of BentoML."""

# mypy: disable-error-code="import-not-found, untyped-decorator"
from __future__ import annotations

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType, Shape

from benchmarks.peers.servers import linear

Rows = Annotated[np.ndarray, DType("float64"), Shape((-1, 784))]

# Its own bound on the latency stays at a minute: with 100 ms it refuses queries.
BATCHING = {"batchable": True, "max_batch_size": linear.MAX_BATCH} if linear.wait_ms() else {}


@bentoml.service(workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Linear:
    def __init__(self) -> None:
        self._model = linear.load()

    @bentoml.api(**BATCHING)
    def predict(self, input: Rows) -> np.ndarray:
        labels: np.ndarray = self._model.predict(input)
        return labels
