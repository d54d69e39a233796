"""`?wait=60` on a deploy, a rollback or a release: the answer comes when the release has ended, and
where it is live, when all processes that answer queries follow it.

What waits is a coroutine, not a thread: between two looks at the release it sleeps until this
process has heard of a change of the registry. It is the management API that it asks, as the caller.
"""

from __future__ import annotations

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
# Of one web process; whoever comes on top is answered at once, as if they hadn't asked to wait.
MOST_WAITING = 256
# A release that is superseded by a bulk change is not announced by itself.
LOOK_S = 2.0
OPEN = frozenset({"pending", "starting"})
LIVE = "live"

_PATH = re.compile(
    r"(?P<model>.*/models/[^/]+)/(?:versions/[^/]+/deploy|rollback|releases/\d+)/?"
).fullmatch
# Of the caller's headers, those that say who they are and whom they ask.
_OWN = frozenset({b"authorization", b"cookie", b"host", b"x-forwarded-for", b"x-forwarded-proto"})

# Resolves when this process hears of a change of the registry the next time.
NextChange = Callable[[], "asyncio.Future[None]"]
# Waits a moment until all that was changed by now is followed.
Followed = Callable[[], Awaitable[None]]


class HeldAnswer(NamedTuple):
    """A response that was held back."""

    status: int
    headers: Headers
    body: bytes


def with_release_waits(
    management: Endpoint, *, next_change: NextChange, followed: Followed
) -> Endpoint:
    """Return the management API, which also waits for releases where it is asked to."""
    wait = endpoint(_Waits(management, next_change=next_change, followed=followed).answer)

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        asks = PARAMETER.encode() in scope["query_string"] and _PATH(scope["path"])
        await (wait if asks else management)(scope, receive, send)

    return routed


class _Waits:
    """Those who wait in this process."""

    def __init__(
        self, management: Endpoint, *, next_change: NextChange, followed: Followed
    ) -> None:
        self._management = management
        self._next_change = next_change
        self._followed = followed
        self._waiting = 0

    async def answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        until = monotonic() + _seconds(scope)
        look = self._next_change()
        answered = await _held(self._management, scope, receive)
        if answered.status in (200, 202) and self._waiting < MOST_WAITING:
            self._waiting += 1
            try:
                with while_connected(scope):
                    answered = await self._settled(answered, scope, look=look, until=until)
            finally:
                self._waiting -= 1
        await send_body(
            send, answered.body, status=answered.status, headers=_without_length(answered)
        )

    async def _settled(
        self, answered: HeldAnswer, scope: Scope, *, look: asyncio.Future[None], until: float
    ) -> HeldAnswer:
        """Return the release once it has ended and, live, is what queries are answered by."""
        if _state_in(answered.body) in OPEN:
            path = _release_path(scope, body=answered.body)
            answered = await self._ended(path, scope, look=look, until=until) or answered
        if _state_in(answered.body) == LIVE:
            # The caller's next query would else be answered by the version of before.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, until - monotonic())):
                    await self._followed()
        return answered

    async def _ended(
        self, path: str, scope: Scope, *, look: asyncio.Future[None], until: float
    ) -> HeldAnswer | None:
        """Return the release once it has ended, or as it is when the time is over."""
        found = None
        while (left := until - monotonic()) > 0:
            await asyncio.wait([look], timeout=min(left, LOOK_S))
            look = self._next_change()
            found = await _held(self._management, _reading(scope, path=path), _empty_body())
            if found.status != 200 or _state_in(found.body) not in OPEN:
                return found
        return found if found is None or scope["method"] == "GET" else found._replace(status=202)


def _seconds(scope: Scope) -> float:
    """Return how long the caller would wait. Raises BadRequest for anything but a number."""
    query = dict(parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True))
    text = query.get(PARAMETER, "0")
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0.0 <= seconds <= LONGEST_S:
        raise BadRequest(f"wait: expected from 0 to {LONGEST_S:g} seconds, got {text!r}.")
    return seconds


async def _held(application: Endpoint, scope: Scope, receive: Receive) -> HeldAnswer:
    """Return what the application answers. Raises ClientGone where it answers nobody."""
    messages: list[Any] = []

    async def hold(message: Any) -> None:
        messages.append(message)

    await application(scope, receive, hold)
    if not messages:
        raise ClientGone
    start, *parts = messages
    return HeldAnswer(
        start["status"], start.get("headers", []), b"".join(part.get("body", b"") for part in parts)
    )


def _release_path(scope: Scope, *, body: bytes) -> str:
    """Return where the release is that was answered."""
    found = _PATH(scope["path"])
    assert found is not None  # noqa: S101
    return f"{found['model']}/releases/{msgspec.json.decode(body)['id']}"


def _state_in(body: bytes) -> Any:
    return msgspec.json.decode(body).get("state")


def _reading(scope: Scope, *, path: str) -> Scope:
    """Return the request by which the caller would read the release."""
    return {
        **scope,
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [(name, value) for name, value in scope["headers"] if name in _OWN],
    }


def _empty_body() -> Receive:
    """Return what a request without a body receives: nothing, and then no end."""
    told = False

    async def receive() -> dict[str, Any]:
        nonlocal told
        if told:
            await asyncio.get_running_loop().create_future()
        told = True
        return {"type": "http.request", "body": b"", "more_body": False}

    return receive


def _without_length(answered: HeldAnswer) -> Headers:
    return [(name, value) for name, value in answered.headers if name.lower() != b"content-length"]
