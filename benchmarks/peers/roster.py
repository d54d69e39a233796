"""The peers, in the order of the tables: how each is started and asked, and what is expected.

One more is a row here, its server and its requirements.
"""

import json
import os
import shutil
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import skops.io

from benchmarks.linear import input_of, large_bodies, linear_artifact
from clipper_site import ROOT
from clipper_site.stack.layout import HOST

MAX_BATCH = 64
WAIT_MS = 2.0


class Protocol(NamedTuple):
    """The text before and after the array of numbers; `label` finds the class in an answer."""

    name: str
    before: str
    after: str
    label: Callable[[Any], int]


PLAIN = Protocol("plain", '{"input":', "}", lambda answer: int(answer["output"]))
ROWS = Protocol("rows", '{"input":[', "]}", lambda answer: int(answer[0]))
OPEN_INFERENCE = Protocol(
    "open-inference",
    '{"inputs":[{"name":"input","shape":[1,784],"datatype":"FP64","data":',
    "}]}",
    lambda answer: int(answer["outputs"][0]["data"][0]),
)


class Questions(NamedTuple):
    """Arrays of numbers as JSON, with the class of each; `model` is a file for peers to load."""

    arrays: list[str]
    labels: list[int]
    estimator: Any
    model: Path
    folder: Path

    def samples(self, protocol: Protocol) -> list[tuple[str, int]]:
        """Return the bodies, each with the answer that is right."""
        bodies = (f"{protocol.before}{array}{protocol.after}" for array in self.arrays)
        return list(zip(bodies, self.labels, strict=True))

    def file(self, protocol: Protocol) -> Path:
        """Return the file that wrk reads, one body a line."""
        file = self.folder / f"{protocol.name}.txt"
        file.write_text("".join(f"{body}\n" for body, _ in self.samples(protocol)))
        return file


def questions(folder: Path) -> Questions:
    """Ask the model here what it makes of each, and keep its coefficients as a plain file."""
    estimator = skops.io.loads(linear_artifact(), trusted=[])
    fitted = {name: getattr(estimator, name) for name in ("coef_", "intercept_", "classes_")}
    np.savez(folder / "linear.npz", **fitted)
    arrays = [input_of(line) for line in large_bodies(folder / "b.txt").read_text().splitlines()]
    labels = estimator.predict(np.array([json.loads(array) for array in arrays])).tolist()
    return Questions(arrays, labels, estimator, folder / "linear.npz", folder)


class Setting(NamedTuple):
    """A way to make batches; `wait_ms` is how long one that isn't full may wait."""

    name: str
    wait_ms: float


WAIT, NO_WAIT = Setting("wait 2 ms", WAIT_MS), Setting("no wait", 0.0)
NO_BATCHES = Setting("no batches", 0.0)


class Home(NamedTuple):
    """The place of a server: its own short-lived `folder`, and free `ports`; the first is asked."""

    environment: Path
    folder: Path
    ports: tuple[int, int, int]

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.environment / "lib" / version / "site-packages"

    def program(self, name: str) -> str:
        return str(self.environment / "bin" / name)


# A command, and the variables that it gets beside those which all peers get.
Launch = tuple[list[str], dict[str, str]]


class Peer(NamedTuple):
    """One server to be compared with. `environment` names its requirements and its virtual
    environment. Clipper is to make `at_least` so many times its queries a second.
    """

    name: str
    title: str
    environment: str
    path: str
    at_least: float
    launch: Callable[[Home, Setting], Launch]
    protocol: Protocol = PLAIN
    settings: tuple[Setting, ...] = (WAIT, NO_WAIT)


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
    server, version = home.packages / "pytriton/tritonserver", home.folder / "models/linear/1"
    version.mkdir(parents=True)
    shutil.copy(TRITON_MODEL, version / "model.py")
    (version.parent / "config.pbtxt").write_text(triton_config(setting))
    # The stub of this Python, of which the wheel has several, goes where the backend looks.
    stub = server / "python_backend_stubs" / sysconfig.get_python_version() / TRITON_STUB
    shutil.copy(stub, server / "backends/python" / TRITON_STUB)
    libraries = sysconfig.get_config_var("LIBDIR"), str(home.packages / "nvidia_pytriton.libs")
    command = [
        str(server / "bin/tritonserver"), f"--model-repository={home.folder / 'models'}",
        f"--backend-directory={server / 'backends'}",
        f"--http-address={HOST}", f"--http-port={home.ports[0]}",
        "--allow-grpc=false", "--allow-metrics=false", "--log-info=false",
    ]  # fmt: skip
    return command, {
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        # Its stub embeds Python, and so doesn't find the environment by itself.
        "PYTHONPATH": os.pathsep.join((str(home.packages), str(ROOT))),
    }


def mlserver(home: Home, setting: Setting) -> Launch:
    model = home.folder / "linear"
    model.mkdir()
    (home.folder / "settings.json").write_text(json.dumps(mlserver_settings(home)))
    (model / "model-settings.json").write_text(json.dumps(mlserver_model_settings(setting)))
    return [home.program("mlserver"), "start", str(home.folder)], {}


def mlserver_settings(home: Home) -> dict[str, Any]:
    """In the server's process: with a worker process of its own it makes a fifth less."""
    http, grpc, metrics = home.ports
    return {
        "host": HOST, "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
        "metrics_endpoint": None, "metrics_dir": str(home.folder / "metrics"),
        "environments_dir": str(home.folder / "environments"), "parallel_workers": 0,
        # The former also switches the access log off.
        "debug": False, "gzip_enabled": False,
    }  # fmt: skip


def mlserver_model_settings(setting: Setting) -> dict[str, Any]:
    """Without a wait MLServer makes no batches at all, which is its default."""
    return {
        "name": "linear",
        "implementation": "benchmarks.peers.servers.mlserver_runtime.Linear",
        "max_batch_size": MAX_BATCH,
        "max_batch_time": setting.wait_ms / 1e3,
    }


# Those that are one of the modules in `servers`, in the peer's environment: LitServe, Ray, and
# mosec, a Rust server in front of Python workers, as it comes and with a faster parser of JSON.


def module(name: str, *arguments: str) -> Callable[[Home, Setting], Launch]:
    program = ["-m", f"benchmarks.peers.servers.{name}", *arguments]
    return lambda home, setting: ([home.program("python"), *program], {})


def bentoml(home: Home, setting: Setting) -> Launch:
    command = [
        home.program("bentoml"), "serve", "benchmarks.peers.servers.bentoml_service:Linear",
        "--host", HOST, "--port", str(home.ports[0]), "--working-dir", str(ROOT),
    ]  # fmt: skip
    return command, {"BENTOML_DO_NOT_TRACK": "1", "BENTOML_HOME": str(home.folder)}


def ray(home: Home, setting: Setting) -> Launch:
    command, _ = module("ray_server")(home, setting)
    return command, {"RAY_USAGE_STATS_ENABLED": "0", "PEER_FOLDER": str(home.folder)}


INFER = "/v2/models/linear/infer"
# How long to wait is what BentoML finds out by itself.
ADAPTIVE = (Setting("adaptive wait", WAIT_MS), NO_BATCHES)
DEFAULT_OR_WAIT = (WAIT, NO_BATCHES)
# Beside those that were tuned beyond their batching it is enough to be ahead.
ROSTER = (
    Peer("triton", "Triton", "triton", INFER, 1.0, triton, OPEN_INFERENCE),
    Peer("mosec", "mosec", "mosec", "/inference", 2.0, module("mosec_server")),
    Peer("mlserver", "MLServer", "mlserver", INFER, 5.0, mlserver, OPEN_INFERENCE, DEFAULT_OR_WAIT),
    Peer("litserve", "LitServe", "litserve", "/predict", 8.0, module("litserve_server")),
    Peer("bentoml", "BentoML", "bentoml", "/predict", 10.0, bentoml, ROWS, ADAPTIVE),
    Peer("ray", "Ray Serve", "ray", "/predict", 20.0, ray),
)
PEERS = {peer.name: peer for peer in ROSTER}
