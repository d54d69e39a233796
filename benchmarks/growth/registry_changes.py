"""What changes in the registry while it is asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import count, cycle

from benchmarks.growth import stacks
from benchmarks.pace import every
from benchmarks.stack import Stack

CHANGED = "changed"
# Of an application that is not asked, between these objectives.
CHANGE_SECONDS, OBJECTIVES_MS = 0.5, (400.0, 600.0)
NOTHING, OBJECTIVE, DEPLOY = "nothing changes", "an objective changes", "a model is deployed"

Change = Callable[[Stack, threading.Event], None]


def prepare(stack: Stack) -> None:
    """Make the application and the model that change; nobody asks them."""
    stacks.publish(stack, CHANGED)
    stacks.route(stack, CHANGED)


def nothing(stack: Stack, stop: threading.Event) -> None:
    stop.wait()


def objective(stack: Stack, stop: threading.Event) -> None:
    """Change it again and again: every web process reads the registry anew each time."""
    path = f"/api/v1/applications/{CHANGED}/slo"
    for value, _ in zip(cycle(OBJECTIVES_MS), every(CHANGE_SECONDS, stop=stop)):
        stack.client.patch(path, json={"latency_ms": value}).raise_for_status()


_versions = count(2)


def deploy(stack: Stack, stop: threading.Event) -> None:
    """Upload and deploy one version after the other."""
    for _ in every(CHANGE_SECONDS, stop=stop):
        version = str(next(_versions))
        stack.upload(CHANGED, version=version, **stacks.CHEAP)
        stack.deploy(CHANGED, version=version)


CHANGES: dict[str, Change] = {NOTHING: nothing, OBJECTIVE: objective, DEPLOY: deploy}
