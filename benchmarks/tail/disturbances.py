"""What is done to a stack while it is asked: each until it is told to stop."""

from __future__ import annotations

import itertools
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from benchmarks.management import Operator
from benchmarks.models import linear_artifact
from benchmarks.processes import processes_by_role
from benchmarks.quick import DIGITS, LINEAR
from benchmarks.servers import Stack
from benchmarks.tail.console import Console
from benchmarks.tail.results import Action

PAGE_SECONDS, SCRAPE_SECONDS = 1.0, 1.0
FEEDBACK_RATE, FEEDBACK_BATCH = 500, 50
# Between a deploy and the roll back, and before the next deploy.
PAUSE_SECONDS = 1.0
OTHER_MODEL = "tail-other"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A stack, its operator, and the list of what was done to it. `receipts` wait for feedback."""

    stack: Stack
    client: httpx.Client
    operator: Operator
    console: Console
    probe: Path
    actions: list[Action] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)
    versions: Iterator[int] = field(default_factory=lambda: itertools.count(2))

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self.actions.append(Action(what, begin, time.monotonic()))


Disturbance = Callable[[Target, threading.Event], None]


def every(seconds: float, *, stop: threading.Event) -> Iterator[None]:
    """Go on at this pace until told to stop; a turn that took longer delays none but the next."""
    due = time.monotonic()
    while not stop.is_set():
        yield
        due = max(due + seconds, time.monotonic())
        stop.wait(due - time.monotonic())


def none(target: Target, stop: threading.Event) -> None:
    """Leave it alone."""


def open_console(target: Target, stop: threading.Event) -> None:
    """Look at one page after the other, as one who keeps several of them open."""
    console = target.console
    console.sign_in()
    for page, _ in zip(itertools.cycle(console.pages()), every(PAGE_SECONDS, stop=stop)):
        with target.doing(page):
            console.look(page)


def deploy_another_model(target: Target, stop: threading.Event) -> None:
    _deploy_and_roll_back(target, stop, model=OTHER_MODEL)


def deploy_the_same_model(target: Target, stop: threading.Event) -> None:
    _deploy_and_roll_back(target, stop, model=LINEAR)


def _deploy_and_roll_back(target: Target, stop: threading.Event, *, model: str) -> None:
    """Upload a new version, deploy it, roll back, and so on."""
    while not stop.is_set():
        version = str(next(target.versions))
        with target.doing("upload"):
            target.operator.upload(model, version=version, artifact=linear_artifact())
        with target.doing("deploy"):
            target.operator.deploy(model, version=version)
        stop.wait(PAUSE_SECONDS)
        with target.doing("roll back"):
            target.operator.roll_back(model)
        stop.wait(PAUSE_SECONDS)


def send_feedback(target: Target, stop: threading.Event) -> None:
    """Send labels for queries that were asked before, in batches."""
    path = f"/api/v1/applications/{DIGITS}/feedback"
    for _ in every(FEEDBACK_BATCH / FEEDBACK_RATE, stop=stop):
        batch, target.receipts[:FEEDBACK_BATCH] = target.receipts[:FEEDBACK_BATCH], []
        if not batch:
            return
        items = ",".join(f'{{"query_id":"{receipt}","label":3}}' for receipt in batch)
        with target.doing("feedback"):
            answer = target.client.post(path, content=f'{{"feedback":[{items}]}}')
        answer.raise_for_status()


def scrape_metrics(target: Target, stop: threading.Event) -> None:
    for _ in every(SCRAPE_SECONDS, stop=stop):
        with target.doing("/metrics"):
            target.client.get("/metrics").raise_for_status()


def hold_periodic_tasks(target: Target, stop: threading.Event) -> None:
    """The opposite of a disturbance: nothing is reconciled, persisted or kept as a snapshot."""
    control = processes_by_role(target.stack.pid, replicas={})["scheduler"]
    _signal(control, signal.SIGSTOP)
    try:
        stop.wait()
    finally:
        _signal(control, signal.SIGCONT)


def _signal(processes: list[psutil.Process], number: int) -> None:
    for process in processes:
        process.send_signal(number)


def collect_garbage(target: Target, stop: threading.Event) -> None:
    """The probe in the web process does it; what it wrote tells when."""
    begin = time.monotonic()
    stop.wait()
    for line in target.probe.read_text().splitlines():
        collected, ended = map(float, line.split())
        if collected >= begin:
            target.actions.append(Action("full collection", collected, ended))
