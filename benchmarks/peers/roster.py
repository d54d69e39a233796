"""The peers, in the order of the tables. One more is a module, a row here, and its requirements."""

from __future__ import annotations

from benchmarks.peers.bentoml import BENTOML
from benchmarks.peers.litserve import LITSERVE
from benchmarks.peers.mlserver import MLSERVER
from benchmarks.peers.mosec import MOSEC, MOSEC_ORJSON
from benchmarks.peers.peer import Peer
from benchmarks.peers.ray import RAY_SERVE, RAY_SERVE_HAPROXY
from benchmarks.peers.triton import TRITON

PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in (
        *(TRITON, MOSEC, MOSEC_ORJSON, MLSERVER, LITSERVE, BENTOML),
        *(RAY_SERVE, RAY_SERVE_HAPROXY),
    )
}
