"""MLServer: FastAPI, the model in the server's own process."""

from __future__ import annotations

import json
from typing import Any

from benchmarks.peers.bodies import OPEN_INFERENCE
from benchmarks.peers.peer import MAX_BATCH, NO_BATCHES, WAIT, Launch, Peer, Place, Setting
from scripts.stack.layout import HOST


def launch(place: Place, setting: Setting) -> Launch:
    model = place.folder / "linear"
    model.mkdir()
    _write(place.folder / "settings.json", server_settings(place))
    _write(model / "model-settings.json", model_settings(setting))
    return Launch(
        command=[str(place.environment / "bin/mlserver"), "start", str(place.folder)],
    )


def server_settings(place: Place) -> dict[str, Any]:
    return {
        "host": HOST,
        "http_port": place.ports[0],
        "grpc_port": place.ports[1],
        "metrics_port": place.ports[2],
        "metrics_endpoint": None,
        "metrics_dir": str(place.folder / "metrics"),
        "environments_dir": str(place.folder / "environments"),
        # In the server's process: with a worker process of its own it makes a fifth less.
        "parallel_workers": 0,
        # Also switches the access log off.
        "debug": False,
        "gzip_enabled": False,
    }


def model_settings(setting: Setting) -> dict[str, Any]:
    """Without a wait MLServer makes no batches at all, which is its default."""
    return {
        "name": "linear",
        "implementation": "benchmarks.peers.servers.mlserver_runtime.Linear",
        "max_batch_size": MAX_BATCH,
        "max_batch_time": setting.wait_ms / 1e3,
    }


def _write(file: Any, settings: dict[str, Any]) -> None:
    file.write_text(json.dumps(settings, indent=2))


MLSERVER = Peer(
    name="mlserver",
    title="MLServer",
    environment="mlserver",
    protocol=OPEN_INFERENCE,
    path="/v2/models/linear/infer",
    at_least=5.0,
    launch=launch,
    settings=(WAIT, NO_BATCHES),
)
