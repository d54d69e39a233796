"""A linear model of `linear.npz` for Triton's Python backend, which lies beside a copy of this."""

# mypy: disable-error-code="import-not-found"
from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as triton


class TritonPythonModel:
    def initialize(self, arguments: dict[str, str]) -> None:
        with np.load(Path(__file__).with_name("linear.npz")) as kept:
            self._weights, self._offsets = kept["weights"], kept["offsets"]

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answered(request) for request in requests]

    def _answered(self, request: Any) -> Any:
        rows = triton.get_input_tensor_by_name(request, "image").as_numpy()
        labels = (rows @ self._weights.T + self._offsets).argmax(axis=1).astype(np.int64)
        return triton.InferenceResponse([triton.Tensor("label", labels[:, np.newaxis])])
