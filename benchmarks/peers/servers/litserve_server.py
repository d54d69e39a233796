"""The linear model behind LitServe."""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import litserve
import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.servers import linear


class Linear(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._model = linear.load()

    # LitServe takes an annotation of the body for its schema, and refuses this one.
    def decode_request(self, request) -> NDArray[np.float64]:  # type: ignore[no-untyped-def]
        return np.array(request["input"])

    def predict(self, rows: NDArray[np.float64]) -> NDArray[np.int64]:
        labels: NDArray[np.int64] = self._model.predict(rows)
        return labels

    def encode_response(self, label: np.int64) -> dict[str, int]:
        return {"output": int(label)}


if __name__ == "__main__":
    api = Linear(max_batch_size=linear.MAX_BATCH, batch_timeout=linear.wait_ms() / 1e3)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, fast_queue=True)
    server.run(
        host=linear.HOST,
        port=linear.port(),
        num_api_servers=1,
        log_level="error",
        access_log=False,
        generate_client_file=False,
    )
