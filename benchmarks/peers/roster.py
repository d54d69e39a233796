"""The peers, in the order of the tables. One more is a row here, its server, its requirements."""

from __future__ import annotations

import json
import os
import shutil
import sysconfig
from pathlib import Path
from typing import Any

from benchmarks.peers.peer import (
    AHEAD,
    MAX_BATCH,
    NO_BATCHES,
    OPEN_INFERENCE,
    ROWS,
    WAIT,
    WAIT_MS,
    Home,
    Launch,
    Peer,
    Setting,
)
from scripts.stack.layout import HOST, ROOT

# NVIDIA Triton: the C++ server out of the PyTriton wheel, with its Python backend.

TRITON_MODEL = ROOT / "benchmarks/peers/servers/triton_model.py"
TRITON_STUB = "triton_python_backend_stub"
TRITON_CONFIG = """\
name: "linear"
backend: "python"
max_batch_size: {max_batch}
input [ {{ name: "input" data_type: TYPE_FP64 dims: [ 784 ] }} ]
output [ {{ name: "output" data_type: TYPE_INT64 dims: [ 1 ] }} ]
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
dynamic_batching {{ max_queue_delay_microseconds: {wait_us} }}
"""


def triton_config(setting: Setting) -> str:
    """Return the model's config.pbtxt."""
    return TRITON_CONFIG.format(max_batch=MAX_BATCH, wait_us=round(setting.wait_ms * 1e3))


def triton(home: Home, setting: Setting) -> Launch:
    server = home.packages / "pytriton/tritonserver"
    _bring_stub(server)
    libraries = sysconfig.get_config_var("LIBDIR"), str(home.packages / "nvidia_pytriton.libs")
    return Launch(
        command=[
            str(server / "bin/tritonserver"),
            f"--model-repository={_triton_repository(home.folder, setting)}",
            f"--backend-directory={server / 'backends'}",
            f"--http-address={HOST}", f"--http-port={home.port}",
            "--allow-grpc=false", "--allow-metrics=false", "--log-info=false",
        ],
        variables={
            "LD_LIBRARY_PATH": os.pathsep.join(libraries),
            # Its stub embeds Python, and so doesn't find the environment by itself.
            "PYTHONPATH": os.pathsep.join((str(home.packages), str(ROOT))),
        },
    )  # fmt: skip


def _bring_stub(server: Path) -> None:
    """Put the stub of this Python, of which the wheel has several, where the backend looks."""
    wanted, version = server / "backends/python" / TRITON_STUB, sysconfig.get_python_version()
    if not wanted.exists():
        shutil.copy(server / "python_backend_stubs" / version / TRITON_STUB, wanted)


def _triton_repository(folder: Path, setting: Setting) -> Path:
    version = folder / "models/linear/1"
    version.mkdir(parents=True)
    shutil.copy(TRITON_MODEL, version / "model.py")
    (version.parent / "config.pbtxt").write_text(triton_config(setting))
    return folder / "models"


# mosec: a Rust server in front of Python workers, as it comes and with a faster JSON parser.


def mosec(home: Home, setting: Setting) -> Launch:
    return Launch(command=home.module("mosec_server"))


def mosec_with_orjson(home: Home, setting: Setting) -> Launch:
    return Launch(command=home.module("mosec_server", "--orjson"))


# MLServer: FastAPI, the model in the server's own process.


def mlserver(home: Home, setting: Setting) -> Launch:
    model = home.folder / "linear"
    model.mkdir()
    (home.folder / "settings.json").write_text(json.dumps(mlserver_settings(home)))
    (model / "model-settings.json").write_text(json.dumps(mlserver_model_settings(setting)))
    return Launch(command=[home.program("mlserver"), "start", str(home.folder)])


def mlserver_settings(home: Home) -> dict[str, Any]:
    return {
        "host": HOST,
        "http_port": home.ports[0],
        "grpc_port": home.ports[1],
        "metrics_port": home.ports[2],
        "metrics_endpoint": None,
        "metrics_dir": str(home.folder / "metrics"),
        "environments_dir": str(home.folder / "environments"),
        # In the server's process: with a worker process of its own it makes a fifth less.
        "parallel_workers": 0,
        # Also switches the access log off.
        "debug": False,
        "gzip_enabled": False,
    }


def mlserver_model_settings(setting: Setting) -> dict[str, Any]:
    """Without a wait MLServer makes no batches at all, which is its default."""
    return {
        "name": "linear",
        "implementation": "benchmarks.peers.servers.mlserver_runtime.Linear",
        "max_batch_size": MAX_BATCH,
        "max_batch_time": setting.wait_ms / 1e3,
    }


# LitServe: FastAPI, a worker process, ZeroMQ in between.


def litserve(home: Home, setting: Setting) -> Launch:
    return Launch(command=home.module("litserve_server"))


# BentoML: Starlette, the model in the worker's own process.


def bentoml(home: Home, setting: Setting) -> Launch:
    return Launch(
        command=[
            home.program("bentoml"), "serve", "benchmarks.peers.servers.bentoml_service:Linear",
            "--host", HOST, "--port", str(home.port), "--working-dir", str(ROOT),
        ],
        variables={"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(home.folder)},
    )  # fmt: skip


# Ray Serve: with its own proxy, as it comes, and in its high-throughput mode behind HAProxy.


def ray(home: Home, setting: Setting) -> Launch:
    return Launch(
        command=home.module("ray_server"),
        variables={"RAY_USAGE_STATS_ENABLED": "0", "PEER_FOLDER": str(home.folder)},
    )


def ray_behind_haproxy(home: Home, setting: Setting) -> Launch:
    plain, proxy = ray(home, setting), home.folder / "proxy"
    variables = {
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_HAPROXY_METRICS_ENABLED": "0",
        "RAY_SERVE_HAPROXY_STATS_PORT": str(home.ports[1]),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(proxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(proxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(proxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(proxy / "server-state"),
    }
    return Launch(command=plain.command, variables={**plain.variables, **variables})


INFER = "/v2/models/linear/infer"
ROSTER = (
    Peer(
        name="triton", title="Triton", environment="triton", path=INFER, at_least=1.0,
        launch=triton, protocol=OPEN_INFERENCE,
    ),
    Peer(
        name="mosec", title="mosec", environment="mosec", path="/inference", at_least=2.0,
        launch=mosec,
    ),
    Peer(
        name="mosec-orjson", title="mosec with orjson", environment="mosec", path="/inference",
        at_least=AHEAD, launch=mosec_with_orjson,
    ),
    Peer(
        name="mlserver", title="MLServer", environment="mlserver", path=INFER, at_least=5.0,
        launch=mlserver, protocol=OPEN_INFERENCE, settings=(WAIT, NO_BATCHES),
    ),
    Peer(
        name="litserve", title="LitServe", environment="litserve", path="/predict", at_least=8.0,
        launch=litserve,
    ),
    Peer(
        name="bentoml", title="BentoML", environment="bentoml", path="/predict", at_least=10.0,
        launch=bentoml, protocol=ROWS,
        # How long to wait is what it finds out by itself.
        settings=(Setting(name="adaptive wait", wait_ms=WAIT_MS), NO_BATCHES),
    ),
    Peer(
        name="ray", title="Ray Serve", environment="ray", path="/predict", at_least=20.0,
        launch=ray,
    ),
    Peer(
        name="ray-haproxy", title="Ray Serve, HAProxy", environment="ray", path="/predict",
        at_least=AHEAD, launch=ray_behind_haproxy,
    ),
)  # fmt: skip
PEERS = {peer.name: peer for peer in ROSTER}
