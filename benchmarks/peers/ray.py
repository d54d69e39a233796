"""Ray Serve: with its own proxy, as it comes, and in its high-throughput mode behind HAProxy."""

from __future__ import annotations

from benchmarks.peers.bodies import PLAIN
from benchmarks.peers.peer import AHEAD, Launch, Peer, Place, Setting, module


def launch(place: Place, setting: Setting) -> Launch:
    return Launch(
        command=module(place, "ray_server"),
        variables={"RAY_USAGE_STATS_ENABLED": "0", "PEER_FOLDER": str(place.folder)},
    )


def launch_behind_haproxy(place: Place, setting: Setting) -> Launch:
    proxy = place.folder / "proxy"
    plain = launch(place, setting)
    return Launch(
        command=plain.command,
        variables={
            **plain.variables,
            "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
            "RAY_SERVE_ENABLE_HA_PROXY": "1",
            "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
            "RAY_SERVE_HAPROXY_STATS_PORT": str(place.ports[1]),
            "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
            "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
            "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
            "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
        },
    )


RAY_SERVE = Peer(
    name="ray",
    title="Ray Serve",
    environment="ray",
    protocol=PLAIN,
    path="/predict",
    at_least=20.0,
    launch=launch,
)
RAY_SERVE_HAPROXY = Peer(
    name="ray-haproxy",
    title="Ray Serve, HAProxy",
    environment="ray",
    protocol=PLAIN,
    path="/predict",
    at_least=AHEAD,
    launch=launch_behind_haproxy,
)
