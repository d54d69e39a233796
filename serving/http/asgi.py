"""HTTP for raw ASGI endpoints: reading a body, sending JSON, one shape of errors, routing."""

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from core.errors import BodyTooLarge, ClipperError, MethodNotAllowed, UnsupportedEncoding
from core.version import VERSION
from serving.http.limits import Limits, Unfinished, limits_of

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]

JSON_TYPE = (b"content-type", b"application/json")

# The entry of a request's state with a function to call when its client leaves.
WHEN_GONE = "when_gone"
# And with True once the process is to end.
DRAINING_KEY = "draining"

UNEXPECTED = ClipperError("Clipper failed; its log says why.")

logger = logging.getLogger(__name__)

T = TypeVar("T")


class ClientGone(Exception):
    """The client closed the connection before its request was complete."""


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """Return the request's body; raise BodyTooLarge before more than `limit` bytes are read."""
    _check_fields(scope, limit=limit)
    body, more = await _read_part(receive)
    if len(body) > limit:
        raise too_large(limit)
    if more:
        limits = limits_of(scope.setdefault("state", {}))
        body = await _read_rest(receive, begin=body, limits=limits, limit=limit)
    return body


async def _read_rest(receive: Receive, *, begin: bytes, limits: Limits, limit: int) -> bytes:
    unfinished, parts = Unfinished(limits), [begin]
    size, more = len(begin), True
    try:
        unfinished.hold(size)
        while more:
            part, more = await _read_part(receive)
            size += len(part)
            if size > limit:
                raise too_large(limit)
            unfinished.hold(size)
            parts.append(part)
    finally:
        unfinished.end()
    return b"".join(parts)


async def _read_part(receive: Receive) -> tuple[bytes, bool]:
    """Return what came, and whether more is to come."""
    message = await receive()
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def _check_fields(scope: Scope, *, limit: int) -> None:
    """Refuse a body that is announced as too long or as encoded."""
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > limit:
            raise too_large(limit)
        if name == b"content-encoding" and value not in (b"", b"identity"):
            raise UnsupportedEncoding(
                f"Expected a body without Content-Encoding, got {value.decode('latin-1')}."
            )


def too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"Expected a body of at most {limit} bytes.", limit=limit)


def header(scope: Scope, name: bytes) -> bytes | None:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value)
    return None


def require_method(scope: Scope, *allowed: str) -> None:
    if scope["method"] not in allowed:
        raise MethodNotAllowed(
            f"Expected {' or '.join(allowed)}, got {scope['method']}.", allowed=list(allowed)
        )


async def send_body(
    send: Send, body: bytes, *, status: int = 200, headers: Headers = (JSON_TYPE,)
) -> None:
    # Without its length the server would send the body in chunks.
    measured = [*headers, (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": measured})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: ClipperError) -> None:
    body = msgspec.json.encode(error.body())
    await send_body(send, body, status=error.status, headers=error_headers(error))


def error_headers(error: ClipperError) -> list[tuple[bytes, bytes]]:
    """Return the headers of an error's response."""
    extra = error.headers().items()
    return [JSON_TYPE, *((name.lower().encode(), value.encode()) for name, value in extra)]


def endpoint(handler: Endpoint) -> Endpoint:
    """Turn what `handler` raises into the one error shape; nothing else reaches the client."""

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await handler(scope, receive, send)
        except ClientGone:
            return
        except ClipperError as error:
            await send_error(send, error)
        except Exception:
            logger.exception("unexpected error path=%s", scope["path"])
            await send_error(send, UNEXPECTED)

    return guarded


def live_endpoint() -> Endpoint:
    """Answer as long as the event loop turns."""
    body = msgspec.json.encode({"live": True, "version": VERSION})

    @endpoint
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        await send_body(send, body)

    return live


@contextmanager
def while_connected(scope: Scope) -> Iterator[None]:
    """Cancel the block once the client has left (`serving.http.exchange`), and raise ClientGone."""
    task = asyncio.current_task()
    assert task is not None  # noqa: S101
    gone = False

    def leave() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    state = scope.setdefault("state", {})
    state[WHEN_GONE] = leave
    try:
        yield
    except asyncio.CancelledError:
        if not gone:
            raise
        task.uncancel()
        raise ClientGone from None
    finally:
        del state[WHEN_GONE]


class Routes:
    """An ASGI application that calls the first endpoint whose pattern matches the whole path."""

    def __init__(self, *routes: tuple[str, Endpoint], otherwise: Endpoint) -> None:
        self._routes = [(re.compile(f"/(?:{path})").fullmatch, found) for path, found in routes]
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        for match, found in self._routes:
            matched = match(scope["path"])
            if matched is not None:
                scope["url_route"] = {"kwargs": matched.groupdict()}
                await found(scope, receive, send)
                return
        await self._otherwise(scope, receive, send)

    def knows(self, path: str) -> bool:
        return any(match(path) for match, _ in self._routes)
