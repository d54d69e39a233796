"""BentoML: Starlette, the model in the worker's own process."""

from __future__ import annotations

from benchmarks.peers.bodies import ROWS
from benchmarks.peers.peer import NO_BATCHES, WAIT_MS, Launch, Peer, Place, Setting
from scripts.stack.layout import HOST, ROOT

SERVICE = "benchmarks.peers.servers.bentoml_service:Linear"


def launch(place: Place, setting: Setting) -> Launch:
    return Launch(
        command=[
            str(place.environment / "bin/bentoml"), "serve", SERVICE,
            "--host", HOST, "--port", str(place.port), "--working-dir", str(ROOT),
        ],
        variables={"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(place.folder)},
    )  # fmt: skip


BENTOML = Peer(
    name="bentoml",
    title="BentoML",
    environment="bentoml",
    protocol=ROWS,
    path="/predict",
    at_least=10.0,
    launch=launch,
    # How long to wait is what it finds out by itself.
    settings=(Setting(name="adaptive wait", wait_ms=WAIT_MS), NO_BATCHES),
)
