"""mosec: a Rust server in front of Python workers, as it comes and with a faster JSON parser."""

from __future__ import annotations

from benchmarks.peers.bodies import PLAIN
from benchmarks.peers.peer import AHEAD, Launch, Peer, Place, Setting, module


def launch(place: Place, setting: Setting) -> Launch:
    return Launch(command=module(place, "mosec_server"))


def launch_with_orjson(place: Place, setting: Setting) -> Launch:
    return Launch(command=[*module(place, "mosec_server"), "--orjson"])


MOSEC = Peer(
    name="mosec",
    title="mosec",
    environment="mosec",
    protocol=PLAIN,
    path="/inference",
    at_least=2.0,
    launch=launch,
)
MOSEC_ORJSON = Peer(
    name="mosec-orjson",
    title="mosec with orjson",
    environment="mosec",
    protocol=PLAIN,
    path="/inference",
    at_least=AHEAD,
    launch=launch_with_orjson,
)
