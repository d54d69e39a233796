"""Servers of others as they are: MLServer, Triton and MLflow, each with a model of digits."""

import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from clipper_site.stack.layout import free_port
from tests.frameworks.environments import HERE, REQUIREMENTS, built
from tests.integration.stack import eventually

HOST = "127.0.0.1"
WIDTH = 64
UP_WITHIN_S = 120.0
STARTS = 3
STUB = "triton_python_backend_stub"
TRITON_CONFIG = """
name: "digits"
backend: "python"
max_batch_size: 64
input [ { name: "image" data_type: TYPE_FP64 dims: [ 64 ] } ]
output [ { name: "label" data_type: TYPE_INT64 dims: [ 1 ] } ]
instance_group [ { kind: KIND_CPU count: 1 } ]
dynamic_batching { max_queue_delay_microseconds: 1000 }
"""
MLFLOW_TRAINING = """
import mlflow
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
images, labels = load_digits(return_X_y=True)
model = LogisticRegression(C=0.001, max_iter=300).fit(images[:1000], labels[:1000])
mlflow.sklearn.save_model(model, "saved", input_example=images[:2])
"""


@dataclass(kw_only=True)
class Home:
    """Place of a server: a folder of its own, the Python of its environment, a free port."""

    folder: Path
    python: Path
    ports: tuple[int, int, int] = field(
        default_factory=lambda: (free_port(), free_port(), free_port())
    )

    @property
    def packages(self) -> Path:
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        return self.python.parent.parent / "lib" / version / "site-packages"

    def keep_model(self, folder: Path) -> None:
        """Put weights there that tell digits apart: how near an image is to the mean of each."""
        from registry.demo.digits import training

        images, labels = training()
        means = np.array([images[labels == digit].mean(axis=0) for digit in range(10)])
        np.savez(folder / "linear.npz", weights=means, offsets=-(means**2).sum(axis=1) / 2)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """Set-up and start of a server: `launch` returns a command and its variables."""

    name: str
    protocol: str
    path: str
    ready: str
    launch: Callable[[Home], tuple[list[str], dict[str, str]]]


def _mlserver(home: Home) -> tuple[list[str], dict[str, str]]:
    home.keep_model(home.folder)
    shutil.copy(HERE / "served/mlserver_model.py", home.folder)
    http, grpc, metrics = home.ports
    settings = {
        "host": HOST, "http_port": http, "grpc_port": grpc, "metrics_port": metrics,
        "metrics_dir": str(home.folder / "metrics"), "parallel_workers": 0, "debug": False,
    }  # fmt: skip
    model = {"name": "digits", "implementation": "mlserver_model.Linear"}
    model["inputs"] = [{"name": "image", "datatype": "FP64", "shape": [-1, WIDTH]}]  # type: ignore[assignment]  # JSON
    (home.folder / "settings.json").write_text(json.dumps(settings))
    (home.folder / "model-settings.json").write_text(json.dumps(model))
    return [str(home.python.parent / "mlserver"), "start", "."], {"PYTHONPATH": "."}


def _triton(home: Home) -> tuple[list[str], dict[str, str]]:
    server, version = home.packages / "pytriton/tritonserver", home.folder / "models/digits/1"
    version.mkdir(parents=True)
    shutil.copy(HERE / "served/triton_model.py", version / "model.py")
    home.keep_model(version)
    (version.parent / "config.pbtxt").write_text(TRITON_CONFIG)
    backends = home.folder / "backends"
    shutil.copytree(server / "backends/python", backends / "python")
    # The stub of this Python, of which the wheel has several, goes where the backend looks.
    stub = server / "python_backend_stubs" / sysconfig.get_python_version() / STUB
    shutil.copy(stub, backends / "python" / STUB)
    libraries = sysconfig.get_config_var("LIBDIR"), str(home.packages / "nvidia_pytriton.libs")
    command = [
        str(server / "bin/tritonserver"), f"--model-repository={home.folder / 'models'}",
        f"--backend-directory={backends}", f"--http-address={HOST}",
        f"--http-port={home.ports[0]}", "--allow-grpc=false", "--allow-metrics=false",
    ]  # fmt: skip
    return command, {
        "LD_LIBRARY_PATH": os.pathsep.join(libraries),
        # Its stub embeds Python, and so doesn't find the environment by itself.
        "PYTHONPATH": str(home.packages),
    }


def _mlflow(home: Home) -> tuple[list[str], dict[str, str]]:
    trained = subprocess.run(
        [home.python, "-c", MLFLOW_TRAINING],
        cwd=home.folder,
        capture_output=True,
        text=True,
        timeout=UP_WITHIN_S,
        check=False,
    )
    assert trained.returncode == 0, trained.stderr
    command = ["mlflow", "models", "serve", "-m", "saved", "--env-manager", "local"]
    address = ["-h", HOST, "-p", str(home.ports[0])]
    return [str(home.python), "-m", *command, *address], {}


KINDS = {
    "mlserver": Kind(
        name="mlserver", protocol="open-inference", path="/v2/models/digits",
        ready="/v2/models/digits/ready", launch=_mlserver,
    ),
    "triton": Kind(
        name="triton", protocol="open-inference", path="/v2/models/digits",
        ready="/v2/models/digits/ready", launch=_triton,
    ),
    "mlflow": Kind(name="mlflow", protocol="mlflow", path="", ready="/ping", launch=_mlflow),
}  # fmt: skip


class Server:
    """One that runs: it can be killed, started again at the same port, and held still."""

    def __init__(self, kind: Kind, home: Home) -> None:
        self.kind = kind
        self._home = home
        self._command, self._variables = kind.launch(home)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def place(self) -> str:
        return f"{HOST}:{self._home.ports[0]}"

    def registration(self) -> dict[str, Any]:
        """Return the configuration of a version that lives there."""
        url = f"http://{self.place}{self.kind.path}"
        return {"runtime": "remote", "protocol": self.kind.protocol, "url": url}

    def start(self) -> None:
        """Start it, and again where it ends by itself before it is ready."""
        what = f"{self.kind.name} is up, see {self._log}"
        for _ in range(STARTS - 1):
            self._launch()
            eventually(lambda: self._ended or self._is_ready(), seconds=UP_WITHIN_S, what=what)
            if not self._ended:
                return
        self._launch()
        eventually(self._is_ready, seconds=UP_WITHIN_S, what=what)

    def _launch(self) -> None:
        path = f"{self._home.python.parent}{os.pathsep}{os.environ['PATH']}"
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._home.folder,
                env={**os.environ, "PATH": path, **self._variables},
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    @property
    def _log(self) -> Path:
        return self._home.folder / "server.log"

    @property
    def _ended(self) -> bool:
        assert self._process is not None
        return self._process.poll() is not None

    def signal(self, number: signal.Signals) -> None:
        """Send it to all of its processes."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """As a host does that goes away with all that runs there."""
        with suppress(ProcessLookupError):
            self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait(timeout=30)

    def _is_ready(self) -> bool:
        assert not self._ended, self._log.read_text()[-3000:]
        with suppress(httpx.HTTPError):
            return httpx.get(f"http://{self.place}{self.kind.ready}", timeout=5.0).is_success
        return False


@contextmanager
def running_server(name: str) -> Iterator[Server]:
    """Build its environment where it isn't there, and start it. Raises EnvironmentFailed."""
    requirements = "peers" if name == "mlflow" else name
    with (
        built((REQUIREMENTS / f"{requirements}.txt").read_text(encoding="utf-8")) as python,
        tempfile.TemporaryDirectory(prefix=f"clipper-{name}-") as folder,
    ):
        server = Server(KINDS[name], Home(folder=Path(folder), python=python))
        try:
            server.start()
            yield server
        finally:
            server.kill()
