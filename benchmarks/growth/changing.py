"""What changes in the registry while it is asked, and what the probe in the web process saw."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count, cycle

import msgspec

from benchmarks.growth.place import CODE, MODEL, Place
from benchmarks.tail.disturbances import every

CHANGED = "changed"
# Of an application that is not asked, between these objectives.
CHANGE_SECONDS, OBJECTIVES_MS = 0.5, (400.0, 600.0)
NOTHING, OBJECTIVE, DEPLOY = "nothing changes", "an objective changes", "a model is deployed"

Change = Callable[[Place, threading.Event], None]


class Stretch(msgspec.Struct, frozen=True, array_like=True):
    """A line of the probe: `read`, `follow` or `lag`, begin and end on the monotonic clock."""

    what: str
    begin: float
    end: float

    @property
    def seconds(self) -> float:
        return self.end - self.begin


def prepare(place: Place) -> None:
    """Make the application and the model that change; nobody asks them."""
    place.publish(CHANGED)
    place.apply(CHANGED, MODEL)


def nothing(place: Place, stop: threading.Event) -> None:
    stop.wait()


def objective(place: Place, stop: threading.Event) -> None:
    """Change it again and again: every web process reads the registry anew each time."""
    path = f"/api/v1/applications/{CHANGED}/slo"
    for value, _ in zip(cycle(OBJECTIVES_MS), every(CHANGE_SECONDS, stop=stop)):
        place.client.patch(path, json={"latency_ms": value}).raise_for_status()


_versions = count(2)


def deploy(place: Place, stop: threading.Event) -> None:
    """Upload and deploy one version after the other."""
    for _ in every(CHANGE_SECONDS, stop=stop):
        version = str(next(_versions))
        place.operator.upload(
            CHANGED, version=version, artifact=CODE, runtime="python", file="model.py"
        )  # fmt: skip
        place.operator.deploy(CHANGED, version=version)


CHANGES: dict[str, Change] = {NOTHING: nothing, OBJECTIVE: objective, DEPLOY: deploy}


def seen(place: Place, *, begin: float, end: float) -> list[Stretch]:
    """Return what the probe told of this time."""
    lines = (line.split() for line in place.probe.read_text().splitlines())
    told = [Stretch(what, float(a), float(b)) for what, a, b in lines]
    return [one for one in told if begin <= one.begin <= end]
