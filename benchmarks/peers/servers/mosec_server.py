"""The linear model behind mosec."""

# mypy: disable-error-code="import-not-found, misc"
from __future__ import annotations

import sys
from typing import Any

import numpy as np
from mosec import Server, Worker

from benchmarks.peers.servers import linear


class Linear(Worker):
    def __init__(self) -> None:
        super().__init__()
        self._model = linear.load()

    def forward(self, bodies: list[dict[str, Any]]) -> list[dict[str, int]]:
        labels = self._model.predict(np.array([body["input"] for body in bodies]))
        return [{"output": int(label)} for label in labels]


if __name__ == "__main__":
    wait_ms = str(int(linear.wait_ms()))
    # mosec reads the command line by itself. There, and only there, no wait can be asked for.
    sys.argv[1:] = [
        "--address", linear.HOST, "--port", str(linear.port()),
        "--wait", wait_ms, "--log-level", "error",
    ]  # fmt: skip
    server = Server()
    server.append_worker(Linear, num=1, max_batch_size=linear.MAX_BATCH)
    server.run()
