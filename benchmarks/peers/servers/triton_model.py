"""The linear model for Triton's Python backend; a copy of it goes to the model repository."""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from typing import Any

import numpy as np
import triton_python_backend_utils as triton

from benchmarks.peers.servers import linear


class TritonPythonModel:
    """Triton hands over the requests of a batch; they become one array, and rows again."""

    def initialize(self, arguments: dict[str, str]) -> None:
        self._model = linear.load()

    def execute(self, requests: list[Any]) -> list[Any]:
        rows = [triton.get_input_tensor_by_name(one, "input").as_numpy() for one in requests]
        labels = self._model.predict(np.concatenate(rows)).astype(np.int64)[:, np.newaxis]
        ends = np.cumsum([len(part) for part in rows])
        return [
            triton.InferenceResponse([triton.Tensor("output", part)])
            for part in np.split(labels, ends[:-1])
        ]
