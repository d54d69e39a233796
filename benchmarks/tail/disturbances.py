"""Disturbances of a stack beside a load: their authors, and their record."""

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import httpx

from benchmarks.command import Failed
from benchmarks.linear import LINEAR, LINEAR_SLO_MS, linear_artifact
from benchmarks.processes import every
from benchmarks.stack import DIGITS, Stack

LOGIN, SESSION, FORGERY = "/admin/login/", "clipper_session", "clipper_csrf"
# Home asks for its rows every five seconds; each console turns to another page after
# so many of these.
LIVE, POLLED, POLL_SECONDS, POLLS_A_PAGE = "/admin/", "/admin/home/", 5.0, 4
LISTS = ("application", "model", "modelversion", "release", "apikey")
CONSOLES, LOGIN_LOOPS = 20, 6
ANSWER_SECONDS = 30.0
# Between two scrapes or collections, and between a deploy, the roll back, the next deploy.
PAUSE_SECONDS = 1.0
CHANGE_SECONDS = 0.5
FEEDBACK_RATE, FEEDBACK_BATCH = 500, 50
UPLOAD_BYTES, UPLOAD_PIECE, BOUNDARY = 500_000_000, 250_000, "tail-of-latency"
APPLICATIONS = 200
# A client is elsewhere as a rule: here it leaves the load's generator the core that both want.
NICENESS = 10
OTHER_MODEL, UPLOADED_MODEL, APPLICATION = "tail-other", "tail-upload", "tail"


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


def politely(disturb: Disturbance) -> Disturbance:
    """Have this thread, and those that it starts, give way to the load's generator."""

    def disturb_politely(disturbed: Disturbed, stop: threading.Event) -> None:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)
        disturb(disturbed, stop)

    return disturb_politely


def open_consoles(disturbed: Disturbed, stop: threading.Event) -> None:
    """Keep so many open: each asks for the rows of Home, and now and then another page."""
    console = disturbed.console
    sign_in(console, demo=disturbed.stack.folder / "var/demo.json")
    pages = itertools.cycle(console_pages())

    def look(number: int) -> None:
        # Not all at the same moment, nor at their pages.
        stop.wait(POLL_SECONDS * number / CONSOLES)
        for turn, _ in zip(itertools.count(number), every(POLL_SECONDS, stop=stop)):
            page = POLLED if turn % POLLS_A_PAGE else next(pages)
            with disturbed.doing(page):
                console.get(page).raise_for_status()

    _side_by_side(look, CONSOLES)


def sign_in(console: httpx.Client, *, demo: Path) -> None:
    """A browser's session, without the browser; once, as later it is signed in already."""
    if _cookie(console, SESSION):
        return
    person = json.loads(demo.read_text())
    _log_in(console, username=person["admin_user"], password=person["admin_password"])
    if not _cookie(console, SESSION):
        raise Failed("the console did not take the demo's password")


def _log_in(console: httpx.Client, *, username: str, password: str) -> None:
    """Fetch the form and send it back."""
    console.get(LOGIN).raise_for_status()
    form = {"username": username, "password": password, "next": LIVE}
    form["csrfmiddlewaretoken"] = _cookie(console, FORGERY)
    console.post(LOGIN, data=form, headers={"Referer": str(console.base_url)})


def _cookie(console: httpx.Client, name: str) -> str:
    """The names of the console's cookies end in the port of the stack."""
    return next((v for key, v in console.cookies.items() if key.startswith(name)), "")


def console_pages() -> list[str]:
    """All pages that an operator turns to."""
    pages = [LIVE, *(f"/admin/registry/{name}/" for name in LISTS)]
    for name in (DIGITS, LINEAR):
        page = f"/admin/applications/{name}"
        pages += [f"{page}/experiment/", f"{page}/experiment/?part=now", f"{page}/contexts/"]
    return pages


def guess_passwords(disturbed: Disturbed, stop: threading.Event) -> None:
    """Strangers try to sign in, each again as soon as the answer is there."""

    def guess(number: int) -> None:
        with httpx.Client(base_url=disturbed.stack.url, timeout=ANSWER_SECONDS) as stranger:
            for turn in itertools.count():
                if stop.is_set():
                    return
                with disturbed.doing("login"):
                    _log_in(stranger, username=f"stranger-{number}-{turn}", password="guessed")

    _side_by_side(guess, LOGIN_LOOPS)


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


class _Interrupted(Exception):
    """The load is over: nobody waits for the rest of an upload."""


def upload_large(disturbed: Disturbed, stop: threading.Event) -> None:
    """Upload a large artifact as quickly as it is taken, and then the next one.

    Its content is the same each time, so that the stack keeps it once.
    """
    path = f"/api/v1/models/{UPLOADED_MODEL}/versions/"
    with suppress(_Interrupted):
        while not stop.is_set():
            head, tail = _around(f"at-{time.time_ns()}")
            headers = {
                "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
                "Content-Length": str(len(head) + UPLOAD_BYTES + len(tail)),
            }
            content = itertools.chain([head], _pieces(stop=stop), [tail])
            with disturbed.doing("upload of 500 MB"):
                client = disturbed.stack.client
                client.post(path, content=content, headers=headers).raise_for_status()


def _pieces(*, stop: threading.Event) -> Iterator[bytes]:
    piece = bytes(UPLOAD_PIECE)
    for _ in range(UPLOAD_BYTES // UPLOAD_PIECE):
        if stop.is_set():
            raise _Interrupted
        yield piece


def _around(version: str) -> tuple[bytes, bytes]:
    """Return the bytes before and after the file of an upload."""
    fields = {"version": version, "runtime": "sklearn"}
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    ]
    file = 'form-data; name="artifact"; filename="model.skops"'
    parts.append(
        f"--{BOUNDARY}\r\nContent-Disposition: {file}\r\n"
        "Content-Type: application/octet-stream\r\n\r\n"
    )
    return "".join(parts).encode(), f"\r\n--{BOUNDARY}--\r\n".encode()


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


def change_applications(disturbed: Disturbed, stop: threading.Event) -> None:
    """Change one of many applications after the other."""
    names = itertools.cycle(f"{APPLICATION}-{number}" for number in range(APPLICATIONS))
    turns = zip(itertools.count(1), names, every(CHANGE_SECONDS, stop=stop))
    for turn, name, _ in turns:
        with disturbed.doing("change"):
            path = f"applications/{name}/slo"
            disturbed.stack.call("PATCH", path, json={"latency_ms": 100.0 + turn % 50})


def register_applications(stack: Stack) -> None:
    """Register those that are changed; each has a route to the model that the load asks."""

    def register(number: int) -> None:
        stack.route(f"{APPLICATION}-{number}", LINEAR, slo_ms=LINEAR_SLO_MS)

    with ThreadPoolExecutor(max_workers=4) as threads:
        list(threads.map(register, range(APPLICATIONS)))


def _side_by_side(work: Callable[[int], None], count: int) -> None:
    """Have it work in so many threads at once; the first failure is the caller's."""
    with ThreadPoolExecutor(max_workers=count, thread_name_prefix="meanwhile") as threads:
        for done in [threads.submit(work, number) for number in range(count)]:
            done.result()
