"""The scenarios: a stack, what is asked of it, and what is done to it meanwhile."""

from __future__ import annotations

import itertools
import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.command import Failed
from benchmarks.linear import LINEAR, linear_artifact
from benchmarks.processes import MIB, every, processes_by_role
from benchmarks.stack import DIGITS, Stack

LOGIN, SESSION, FORGERY = "/admin/login/", "clipper_session", "clipper_csrf"
# The live page asks for its numbers every two seconds, so between any two other pages.
LIVE, POLLED = "/admin/", "/admin/live.json"
LISTS = ("application", "model", "modelversion", "release", "apikey")
ANSWER_SECONDS = 30.0
# Between two pages, scrapes or collections, and between a deploy, the roll back, the next deploy.
PAUSE_SECONDS = 1.0
FEEDBACK_RATE, FEEDBACK_BATCH = 500, 50
OTHER_MODEL = "tail-other"
COLLECTING = "collecting"
PLUGIN = Path(__file__).with_name("plugin")


class Action(NamedTuple):
    """One thing that was done to the stack meanwhile, from `begin` to `end` (monotonic clock)."""

    what: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Disturbed:
    """A stack, and the list of what was done to it. `receipts` wait for feedback."""

    stack: Stack
    console: httpx.Client
    actions: list[Action] = field(default_factory=list)
    receipts: list[str] = field(default_factory=list)

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        begin = time.monotonic()
        try:
            yield
        finally:
            self.actions.append(Action(what, begin, time.monotonic()))


Disturbance = Callable[[Disturbed, threading.Event], None]


def open_console(disturbed: Disturbed, stop: threading.Event) -> None:
    """Look at one page after the other, as one who keeps several of them open."""
    console = disturbed.console
    sign_in(console, demo=disturbed.stack.folder / "var/demo.json")
    for page, _ in zip(itertools.cycle(console_pages()), every(PAUSE_SECONDS, stop=stop)):
        with disturbed.doing(page):
            console.get(page).raise_for_status()


def sign_in(console: httpx.Client, *, demo: Path) -> None:
    """A browser's session, without the browser; once, as later it is signed in already."""

    def cookie(name: str) -> str:
        """The names of the console's cookies end in the port of the stack."""
        return next((v for key, v in console.cookies.items() if key.startswith(name)), "")

    if cookie(SESSION):
        return
    person = json.loads(demo.read_text())
    console.get(LOGIN).raise_for_status()
    form = {"username": person["admin_user"], "password": person["admin_password"], "next": LIVE}
    form["csrfmiddlewaretoken"] = cookie(FORGERY)
    console.post(LOGIN, data=form, headers={"Referer": str(console.base_url)})
    if not cookie(SESSION):
        raise Failed("the console did not take the demo's password")


def console_pages() -> list[str]:
    """All pages, each other one the live page's numbers."""
    others = [LIVE, *(f"/admin/registry/{name}/" for name in LISTS)]
    for name in (DIGITS, LINEAR):
        page = f"/admin/applications/{name}"
        others += [f"{page}/monitoring/", f"{page}/monitoring.json", f"{page}/contexts/"]
    return [page for other in others for page in (other, POLLED)]


def deploys(model: str) -> Disturbance:
    """Upload a new version, deploy it, roll back, and so on."""

    def disturb(disturbed: Disturbed, stop: threading.Event) -> None:
        stack = disturbed.stack
        while not stop.is_set():
            version = f"at-{time.time_ns()}"
            with disturbed.doing("upload"):
                stack.upload(model, version=version, artifact=linear_artifact())
            with disturbed.doing("deploy"):
                stack.deploy(model, version=version)
            stop.wait(PAUSE_SECONDS)
            with disturbed.doing("roll back"):
                stack.roll_back(model)
            stop.wait(PAUSE_SECONDS)

    return disturb


def send_feedback(disturbed: Disturbed, stop: threading.Event) -> None:
    """Send labels for queries that were asked before, in batches."""
    path, receipts = f"applications/{DIGITS}/feedback", disturbed.receipts
    for _ in every(FEEDBACK_BATCH / FEEDBACK_RATE, stop=stop):
        batch, receipts[:FEEDBACK_BATCH] = receipts[:FEEDBACK_BATCH], []
        if not batch:
            return
        items = [{"query_id": receipt, "label": 3} for receipt in batch]
        with disturbed.doing("feedback"):
            disturbed.stack.call("POST", path, json={"feedback": items})


def scrape_metrics(disturbed: Disturbed, stop: threading.Event) -> None:
    for _ in every(PAUSE_SECONDS, stop=stop):
        with disturbed.doing("/metrics"):
            disturbed.stack.client.get("/metrics").raise_for_status()


def hold_periodic_tasks(disturbed: Disturbed, stop: threading.Event) -> None:
    """The opposite of a disturbance: nothing is reconciled, persisted or kept as a snapshot."""
    control = processes_by_role(disturbed.stack.pid, replicas={})["scheduler"]
    for process in control:
        process.send_signal(signal.SIGSTOP)
    try:
        stop.wait()
    finally:
        for process in control:
            process.send_signal(signal.SIGCONT)


def collect_garbage(disturbed: Disturbed, stop: threading.Event) -> None:
    """Ask an application whose way to combine collects it first (`plugin/collecting.py`)."""
    for number, _ in zip(itertools.count(1), every(PAUSE_SECONDS, stop=stop)):
        body = f'{{"input":[{",".join([f"{number}.0", *["0.0"] * 783])}]}}'.encode()
        with disturbed.doing("full collection"):
            disturbed.stack.predict(COLLECTING, body=body)


class Kind(NamedTuple):
    """How a stack is set up: settings beyond the defaults."""

    name: str
    settings: dict[str, str]


# Versions that were replaced are kept warm for a short time, so that every deploy starts a replica
# and no slot is short of them.
WARM = {"CLIPPER_WARM_SECONDS": "5"}
ORDINARY = Kind("ordinary", WARM)
SMALL_CACHE = Kind("small cache", WARM | {"CLIPPER_CACHE_BYTES": str(4 * MIB)})
LARGE = {"CLIPPER_CACHE_BYTES": str(1024 * MIB), "PYTHONPATH": str(PLUGIN)}
LARGE_HEAP = Kind("large heap", WARM | LARGE)


class Scenario(NamedTuple):
    name: str
    title: str
    disturb: Disturbance = lambda disturbed, stop: None
    kind: Kind = ORDINARY


STEADY = "steady"
SCENARIOS = {
    scenario.name: scenario
    for scenario in (
        Scenario(STEADY, "steady"),
        Scenario("held", "periodic tasks held still", hold_periodic_tasks),
        Scenario("console", "console open", open_console),
        Scenario("deploy-other", "another model deployed", deploys(OTHER_MODEL)),
        Scenario("deploy-same", "the same model deployed", deploys(LINEAR)),
        Scenario("feedback", "feedback, 500/s", send_feedback),
        Scenario("metrics", "metrics scraped each second", scrape_metrics),
        Scenario("eviction", "every miss evicts", kind=SMALL_CACHE),
        Scenario("collections", "full collections, large heap", collect_garbage, LARGE_HEAP),
    )
}
