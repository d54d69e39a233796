"""Memory that a large artifact takes: from a client over a web process to another host."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import joblib
import numpy as np
import psutil
from sklearn.dummy import DummyRegressor

from registry import services
from tests.serving.cluster.running_stack import BY, Stack
from tests.serving.cluster.two_hosts.apart import AWAY, WEB
from tests.serving.cluster.two_hosts.network_namespaces import Link, inside

MB = 1 << 20
LOOK_S = 0.02

# Deploys the file and says what that took of memory.
DEPLOY = """
import json, sys
from pathlib import Path
from clipper_client import Client

def held(name):
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024

url, key, name, path = sys.argv[1:]
client = Client(url, key=key)
client.request("GET", "models/")
before = held("VmHWM")
client.deploy(name, Path(path), runtime="sklearn", input_type="doubles",
    fields={"allow_pickle": True}, wait=300)
print(json.dumps({"client": held("VmHWM") - before}))
"""


@dataclass(kw_only=True)
class Memory:
    """The most memory that one process of each role had of its own: no mapped file counts."""

    most: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def above(self, other: Memory) -> dict[str, int]:
        """Return the MB that each role took more than in `other`."""
        return {role: (most - other.most[role]) // MB for role, most in self.most.items()}


@contextmanager
def watched(processes: Mapping[str, psutil.Process]) -> Iterator[Memory]:
    """Look at these processes, and what they start, all the time while the block lasts."""
    memory, over = Memory(), threading.Event()

    def look() -> None:
        while not over.wait(LOOK_S):
            for role, process in processes.items():
                memory.most[role] = max(memory.most.get(role, 0), *_held(process))

    thread = threading.Thread(target=look)
    thread.start()
    started = time.monotonic()
    try:
        yield memory
    finally:
        memory.seconds = time.monotonic() - started
        over.set()
        thread.join()


def _held(process: psutil.Process) -> Iterator[int]:
    yield 0
    with suppress(psutil.NoSuchProcess):
        for each in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                info = each.memory_info()
                yield info.rss - info.shared


@dataclass(frozen=True, kw_only=True)
class Passage:
    """Sends artifacts to a stack on two hosts, of which the second has all replicas."""

    stack: Stack
    link: Link
    folder: Path
    key: str

    @classmethod
    def to(cls, stack: Stack, link: Link, *, folder: Path) -> Passage:
        _, key = services.create_api_key(
            name="large", scopes=("manage", "predict"), can_run_code=True, by=BY
        )
        return cls(stack=stack, link=link, folder=folder, key=key)

    def file(self, size: int) -> Path:
        """Write a model of about this size, whose array is mapped where it is loaded."""
        estimator = DummyRegressor().fit([[0.0, 0.0], [1.0, 1.0]], [3.0, 3.0])
        estimator.weights_ = np.zeros(size // 8)
        path = self.folder / f"{size}.joblib"
        joblib.dump(estimator, path)
        return path

    def deployed(self, name: str, path: Path) -> Memory:
        """Have the client deploy it, and wait until it is live."""
        arguments = [sys.executable, "-c", DEPLOY, WEB, self.key, name, str(path)]
        with self._watched() as memory:
            told = self._run(arguments)
        memory.most["client"] = json.loads(told)["client"]
        return memory

    def sent_by_curl(self, name: str, path: Path, *, version: str) -> Memory:
        """Have curl upload it as a whole, in a form."""
        form = {"version": version, "runtime": "sklearn", "allow_pickle": "true"}
        fields = [part for name, value in form.items() for part in ("-F", f"{name}={value}")]
        url = f"{WEB}/api/v1/models/{name}/versions/"
        command = ["curl", "-sSf", "-H", f"Authorization: Api-Key {self.key}", *fields]
        with self._watched() as memory:
            told = self._run([*command, "-F", f"artifact=@{path}", url])
        assert json.loads(told)["size"] == path.stat().st_size
        return memory

    @contextmanager
    def _watched(self) -> Iterator[Memory]:
        roles = {"web": "console", "check": "control", "replica": f"cpu@{AWAY}"}
        workers = self.stack.workers
        with watched({role: workers[name] for role, name in roles.items()}) as memory:
            yield memory

    def _run(self, command: Sequence[str]) -> str:
        done = subprocess.run(
            [*inside(self.link.web), *command], capture_output=True, text=True, timeout=400
        )
        assert done.returncode == 0, done.stderr
        return done.stdout
