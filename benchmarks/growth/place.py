"""A stack that is measured, with what it takes to change it, to ask it and to look into it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil
from redis import Redis

from benchmarks.figures.experiment import Say
from benchmarks.load import LoadGenerator
from benchmarks.management import Operator
from benchmarks.processes import processes_by_role
from benchmarks.servers import Stack, running_stack
from scripts.stack import redis_server
from scripts.stack.layout import layout_of

MODEL = "growth"
VERSION = "1"
# As in `make bench`: a loaded machine shows its load as latency and not as default answers. Longer
# ones let batches wait longer, and `PATIENT_MS` is for queries that take that long.
SLO_MS, PATIENT_MS = 100.0, 5_000.0
# Answers every input alike: what grows with the inputs is then the server's part.
CODE = b'''
class Predictor:
    def __init__(self, path):
        """There is nothing to load."""

    def pred_batch(self, inputs):
        return [1] * len(inputs)
'''
PROBE = Path(__file__).with_name("probe")
SETTINGS = {
    # As many replicas as the largest curve wants, beside those of the demo.
    "CLIPPER_CPU_SLOTS": "32",
    # Versions that were replaced leave soon: they'd be replicas that nobody asks.
    "CLIPPER_WARM_SECONDS": "5",
    "CLIPPER_WEB_WORKERS": "1",
    "PYTHONPATH": str(PROBE),
}
DEPLOYED_AT_ONCE = 4
REPLICA_SECONDS, LOOK_AGAIN_SECONDS = 60.0, 0.1


class PlaceFailed(Exception):
    """A stack did not get where the measuring wants it."""


@dataclass(kw_only=True, eq=False)
class Place:
    """One stack. `registered` counts what was added to its registry so far, by kind; `observed` are
    the numbers of the applications that have contexts; `asked` counts the questions of open loops.
    """

    name: str
    folder: Path
    stack: Stack
    client: httpx.Client
    redis: Redis
    generator: LoadGenerator
    processes: Mapping[str, list[psutil.Process]] = field(default_factory=dict)
    registered: dict[str, int] = field(default_factory=lambda: {"applications": 1, "models": 1})
    observed: dict[str, int] = field(default_factory=dict)
    asked: int = 0

    @property
    def operator(self) -> Operator:
        return Operator(self.client)

    @property
    def probe(self) -> Path:
        """What the probe in the web process writes."""
        return self.folder / "probe.txt"

    def path(self, application: str) -> str:
        return f"/api/v1/applications/{application}/predict"

    def url(self, application: str) -> str:
        return f"{self.stack.url}{self.path(application)}"

    def publish(self, *models: str, input_type: str = "doubles") -> None:
        """Bring cheap models live, some at a time."""

        def one(model: str) -> None:
            self.operator.publish(
                model=model, version=VERSION, input_type=input_type,
                artifact=CODE, runtime="python", file="model.py",
            )  # fmt: skip

        with ThreadPoolExecutor(DEPLOYED_AT_ONCE) as threads:
            list(threads.map(one, models))

    def apply(self, application: str, *models: str, **changes: object) -> None:
        """Create an application that asks these models; without names the one that all share."""
        fields: dict[str, object] = {
            "name": application,
            "input_type": "doubles",
            "slo_ms": SLO_MS,
            "default_output": -1,
            "policy": "static",
            "routes": [{"model": model} for model in models or (MODEL,)],
        }
        self.operator.create_application(**(fields | changes))

    def wait_for(self, application: str, *, body: bytes) -> None:
        """Return when a model answers, and the processes of now are known."""
        self.operator.wait_until_answered(application, body=body)
        self.look()

    def wait_for_replicas(self, model: str, *, count: int) -> None:
        deadline = time.monotonic() + REPLICA_SECONDS
        while sum(one["model"] == model for one in self.operator.replicas()) != count:
            if time.monotonic() > deadline:
                raise PlaceFailed(f"{model} has not got {count} replicas")
            time.sleep(LOOK_AGAIN_SECONDS)
        self.look()

    def look(self) -> None:
        """Find the processes of each role as they are now."""
        replicas = {one["pid"]: one["model"] for one in self.operator.replicas()}
        self.processes = processes_by_role(self.stack.pid, replicas=replicas)


@contextmanager
def place(name: str, *, say: Say, **settings: str) -> Iterator[Place]:
    """Start a stack that answers `MODEL` for an application of the same name."""
    with ExitStack() as held:
        folder = Path(held.enter_context(tempfile.TemporaryDirectory(prefix="clipper-growth-")))
        say(f"  Starting a stack ({name}) ...")
        watched = {"GROWTH_PROBE": str(folder / "probe.txt")}
        stack = held.enter_context(running_stack(folder, settings=SETTINGS | watched | settings))
        redis_url = redis_server.url(layout_of(folder / "var", port=0))
        found = Place(
            name=name,
            folder=folder,
            stack=stack,
            client=held.enter_context(stack.client()),
            redis=held.enter_context(Redis.from_url(redis_url)),
            generator=LoadGenerator(api_key=stack.api_key),
        )
        found.publish(MODEL)
        found.apply(MODEL)
        found.wait_for(MODEL, body=b'{"input":[1.0]}')
        yield found


class Places:
    """The stacks of a run, each started when it is first asked for and kept for the next curve."""

    SMALL, GROWN = "small", "grown"

    def __init__(self, *, say: Say) -> None:
        self._say = say
        self._held: dict[str, tuple[Place, ExitStack]] = {}

    def pair(self) -> tuple[Place, Place]:
        """Two alike, of which only the second is ever made larger."""
        return self._get(self.SMALL), self._get(self.GROWN)

    def alone(self) -> Place:
        """The small one, and no other beside it."""
        self._end(self.GROWN)
        return self._get(self.SMALL)

    def none(self) -> None:
        """End those that run, for a curve that has stacks of its own."""
        for name in tuple(self._held):
            self._end(name)

    def _get(self, name: str) -> Place:
        if name not in self._held:
            held = ExitStack()
            self._held[name] = held.enter_context(place(name, say=self._say)), held
        return self._held[name][0]

    def _end(self, name: str) -> None:
        if name in self._held:
            self._held.pop(name)[1].close()
