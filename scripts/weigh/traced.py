"""Modules and crossings of one traced query and one traced label."""

import asyncio
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from time import sleep, time
from types import FrameType, SimpleNamespace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from redis.asyncio import Redis

from benchmarks.guard import ONE, WebProcess, requests
from clipper_site.stack.redis_server import find_server
from selection.feedback.intake.service import FeedbackService
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.endpoints.feedback_endpoints import feedback_endpoint
from serving.testing import PlayedServing, application_spec, routes_to

if TYPE_CHECKING:
    from serving.web.runtime import Runtime

PRODUCT = ("clipper_site", "console", "core", "registry", "selection", "serving")
DOUBLES = "serving.testing"


class Traced(NamedTuple):
    modules: frozenset[str]
    crossings: int


class Tracer:
    """Profile function that notes product modules and the calls between them."""

    def __init__(self) -> None:
        self.modules: set[str] = set()
        self.crossings = 0

    def __call__(self, frame: FrameType, event: str, argument: Any) -> None:
        if event != "call":
            return
        callee = product_module(frame)
        if callee is None:
            return
        self.modules.add(callee)
        caller = product_module(frame.f_back)
        if caller is not None and caller != callee:
            self.crossings += 1

    def traced(self) -> Traced:
        return Traced(frozenset(self.modules), self.crossings)


def product_module(frame: FrameType | None) -> str | None:
    name: str = "" if frame is None else frame.f_globals.get("__name__", "")
    counts = name.partition(".")[0] in PRODUCT and not name.startswith(DOUBLES)
    return name if counts else None


async def _traced(work: Callable[[], Awaitable[object]]) -> Traced:
    """Trace the second run: the first one warms up what is made once."""
    await work()
    tracer = Tracer()
    sys.setprofile(tracer)
    try:
        await work()
    finally:
        sys.setprofile(None)
    return tracer.traced()


def query() -> Traced:
    """Trace a cache miss of an application with one arm, over HTTP in one process."""
    return asyncio.run(_query())


async def _query() -> Traced:
    web = WebProcess()
    asked = requests(ONE, new=True)
    try:
        return await _traced(lambda: web.seconds([next(asked)]))
    finally:
        web.close()


def label() -> Traced:
    """Trace a label by receipt, from the request at its endpoint to Redis."""
    with redis_server() as socket:
        return asyncio.run(_label(socket))


async def _label(socket: str) -> Traced:
    redis = Redis(unix_socket_path=socket)
    application = application_spec(public=True, policy="exp3", routes=routes_to(1))
    serving = PlayedServing(application)
    runtime = SimpleNamespace(
        feedback=FeedbackService(
            redis,
            signer=serving.signer,
            store=SelectionStore(redis),
            outputs=OutputStore(redis),
        ),
        router=serving.router,
        processor=serving.processor,
        found=serving.found,
        spec=serving.spec,
    )
    endpoint = feedback_endpoint(cast("Runtime", runtime))
    scope = {
        "type": "http",
        "method": "POST",
        "headers": [],
        "url_route": {"kwargs": {"app": application.name}},
    }
    answers: list[bytes] = []

    async def take() -> None:
        nonce = b"%d" % len(answers) * NONCE_BYTES
        receipt = Receipt(
            nonce=nonce,
            issued_at_ms=int(time() * 1e3),
            application_id=application.id,
            context="",
            arms=(ArmRecord("m1:1", 1.0, b"3"),),
            window_s=application.feedback_window_s,
        )
        body = b'{"query_id":"%b","label":3}' % serving.signer.sign(receipt).encode()

        async def receive() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:
            if "body" in message:
                answers.append(message["body"])

        await endpoint(scope, receive, send)

    try:
        traced = await _traced(take)
    finally:
        await redis.aclose()
        serving.engine.close()
    if not all(b'"accepted":1' in answer for answer in answers):
        raise AssertionError(f"expected accepted labels, got {answers}")
    return traced


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a Redis of its own at a Unix socket."""
    with tempfile.TemporaryDirectory() as folder:
        socket = str(Path(folder, "redis.sock"))
        command = [find_server() or "redis-server", "--port", "0", "--unixsocket", socket]
        server = subprocess.Popen([*command, "--save", ""], cwd=folder, stdout=subprocess.DEVNULL)
        try:
            while not Path(socket).exists():
                sleep(0.01)
            yield socket
        finally:
            server.terminate()
            server.wait()
