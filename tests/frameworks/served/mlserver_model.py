"""A linear model of `linear.npz` as a runtime of MLServer; the server runs in its own folder."""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse


class Linear(MLModel):
    async def load(self) -> bool:
        with np.load("linear.npz") as kept:
            self._weights, self._offsets = kept["weights"], kept["offsets"]
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        labels = (rows @ self._weights.T + self._offsets).argmax(axis=1)
        output = NumpyCodec.encode_output("label", labels)
        return InferenceResponse(model_name=self.name, outputs=[output])
