"""Answers of the management API that wait for the registry's followers, or for a release.

With `?wait=60` the answer to a deploy, a rollback or a release comes when the release has ended.
A coroutine asks the management API as the caller, each time the registry has changed.
"""

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import msgspec

from core.errors import BadRequest
from serving.http.asgi import (
    ClientGone,
    Endpoint,
    Headers,
    Receive,
    Scope,
    Send,
    endpoint,
    send_body,
    while_connected,
)

PARAMETER = "wait"
LONGEST_S = 300.0
OPEN = frozenset({"pending", "starting"})
LIVE = "live"
READING = frozenset({"GET", "HEAD", "OPTIONS"})

_PATH = re.compile(
    r"(?P<model>.*/models/[^/]+)/(?:versions/[^/]+/deploy|rollback|releases/\d+)/?"
).fullmatch
# The headers that say who the caller is and whom it asks.
_OWN = frozenset((b"authorization", b"cookie", b"host", b"x-forwarded-for", b"x-forwarded-proto"))

# Resolves when this process hears of a change of the registry the next time.
NextChange = Callable[[], "asyncio.Future[None]"]
# Waits a moment until all that was changed by now is followed.
Followed = Callable[[], Awaitable[None]]


class ReleaseAnswer(NamedTuple):
    """A response of the management API."""

    status: int
    headers: Headers
    body: bytes

    @property
    def state(self) -> Any:
        return msgspec.json.decode(self.body).get("state")


def with_release_waits(
    management: Endpoint, *, next_change: NextChange, followed: Followed
) -> Endpoint:
    """Return the management API, which also waits for releases if it is asked to."""

    @endpoint
    async def wait(scope: Scope, receive: Receive, send: Send) -> None:
        until = monotonic() + _seconds(scope)
        look = next_change()
        # Compressed it couldn't be read here.
        plain = [field for field in scope["headers"] if field[0] != b"accept-encoding"]
        answer = await _ask(management, {**scope, "headers": plain}, receive)
        if answer.status in (200, 202):
            with while_connected(scope):
                answer = await settled(answer, scope, look=look, until=until)
        headers = [field for field in answer.headers if field[0].lower() != b"content-length"]
        await send_body(send, answer.body, status=answer.status, headers=headers)

    async def settled(
        answer: ReleaseAnswer, scope: Scope, *, look: asyncio.Future[None], until: float
    ) -> ReleaseAnswer:
        """Return the release once it has ended and, live, is what queries are answered by."""
        if answer.state in OPEN:
            reading = _reading(scope, release=msgspec.json.decode(answer.body)["id"])
            while answer.state in OPEN and (left := until - monotonic()) > 0:
                # A release that is superseded by a bulk change is not announced by itself.
                await asyncio.wait([look], timeout=min(left, 2.0))
                look = next_change()
                answer = await _ask(management, dict(reading), _no_body())
                if answer.status != 200:
                    return answer
            if answer.state in OPEN and scope["method"] != "GET":
                answer = answer._replace(status=202)
        if answer.state == LIVE:
            # The caller's next query would else be answered by the version of before.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - monotonic())):
                    await followed()
        return answer

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        asks = PARAMETER.encode() in scope["query_string"] and _PATH(scope["path"])
        await (wait if asks else management)(scope, receive, send)

    return routed


def with_followed_changes(management: Endpoint, *, followed: Followed) -> Endpoint:
    """Return the console, which waits until a change is followed before it answers the request."""

    async def following(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_once_followed(message: Any) -> None:
            if message.get("status", 500) < 400:
                await followed()
            await send(message)

        await management(scope, receive, send if scope["method"] in READING else send_once_followed)

    return following


def _seconds(scope: Scope) -> float:
    """Return how long the caller would wait; raise BadRequest for anything but a number."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    text = query.get(PARAMETER, "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds <= LONGEST_S:
        raise BadRequest(f"wait: expected from 0 to {LONGEST_S:g} seconds, got {text!r}.")
    return seconds


async def _ask(application: Endpoint, scope: Scope, receive: Receive) -> ReleaseAnswer:
    """Return what the application answers; raise ClientGone if it answers nobody."""
    messages: list[Any] = []

    async def hold(message: Any) -> None:
        messages.append(message)

    await application(scope, receive, hold)
    if not messages:
        raise ClientGone
    start, *parts = messages
    body = b"".join(part.get("body", b"") for part in parts)
    return ReleaseAnswer(start["status"], start.get("headers", []), body)


def _reading(scope: Scope, *, release: int) -> Scope:
    """Return the request by which the caller would read the release."""
    found = _PATH(scope["path"])
    assert found is not None  # noqa: S101
    path = f"{found['model']}/releases/{release}"
    return {
        **scope,
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name, value) for name, value in scope["headers"] if name in _OWN],
    }


def _no_body() -> Receive:
    """Return what a request without a body receives: nothing, and then no end."""
    messages: list[Any] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def receive() -> Any:
        if not messages:
            await asyncio.get_running_loop().create_future()
        return messages.pop()

    return receive
