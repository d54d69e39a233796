"""The linear model behind Ray Serve, on a cluster of this machine alone."""

# mypy: disable-error-code="import-not-found, untyped-decorator, attr-defined"
from __future__ import annotations

import os
import signal
from typing import Any

import numpy as np
import ray
from ray import serve
from starlette.requests import Request

from benchmarks.peers.servers import linear

ROUTE = "/predict"


# Far more than the load has connections: its default of 5 would keep batches small.
@serve.deployment(num_replicas=1, max_ongoing_requests=1000)
class Linear:
    def __init__(self) -> None:
        self._model = linear.load()

    @serve.batch(max_batch_size=linear.MAX_BATCH, batch_wait_timeout_s=linear.wait_ms() / 1e3)
    async def predict(self, rows: list[list[float]]) -> list[int]:
        labels: list[int] = self._model.predict(np.array(rows)).tolist()
        return labels

    async def __call__(self, request: Request) -> dict[str, Any]:
        body = await request.json()
        return {"output": await self.predict(body["input"])}


if __name__ == "__main__":
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address=linear.HOST,
        _temp_dir=os.environ["PEER_FOLDER"],
    )
    serve.start(
        http_options={"host": linear.HOST, "port": linear.port()},
        logging_config={"log_level": "ERROR", "enable_access_log": False},
    )
    serve.run(Linear.bind(), route_prefix=ROUTE)
    signal.pause()
