"""The linear model as a runtime of MLServer."""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from benchmarks.peers.servers import linear


class Linear(MLModel):
    async def load(self) -> bool:
        self._model = linear.load()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        rows = self.decode(payload.inputs[0], default_codec=NumpyCodec)
        output = NumpyCodec.encode_output("output", self._model.predict(rows))
        return InferenceResponse(model_name=self.name, outputs=[output])
