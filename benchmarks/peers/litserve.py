"""LitServe: FastAPI, a worker process, ZeroMQ in between."""

from __future__ import annotations

from benchmarks.peers.bodies import PLAIN
from benchmarks.peers.peer import Launch, Peer, Place, Setting, module


def launch(place: Place, setting: Setting) -> Launch:
    return Launch(command=module(place, "litserve_server"))


LITSERVE = Peer(
    name="litserve",
    title="LitServe",
    environment="litserve",
    protocol=PLAIN,
    path="/predict",
    at_least=8.0,
    launch=launch,
)
