"""Cross-origin requests (https://fetch.spec.whatwg.org/#http-cors-protocol).

An application lists the origins it allows. Cookies are never used.
"""

from collections.abc import MutableMapping
from typing import Any

from core.specs import ApplicationSpec
from serving.http.asgi import Endpoint, Headers, Receive, Scope, Send, header
from serving.web.runtime import Runtime

ANY = "*"
VARY = (b"vary", b"Origin")
# What a page may read of an answer beside its body.
EXPOSED = (b"access-control-expose-headers", b"Retry-After, X-Request-ID")
SENT = (b"access-control-allow-headers", b"Authorization, Content-Type, X-Request-ID")
# For how long a browser need not ask again, in seconds.
REMEMBERED = (b"access-control-max-age", b"600")


def with_cors(endpoint: Endpoint, *, runtime: Runtime, methods: bytes) -> Endpoint:
    """Let pages of the listed origins use an application's endpoint; a preflight needs no key."""

    async def shared(scope: Scope, receive: Receive, send: Send) -> None:
        origin = header(scope, b"origin")
        if origin is None:
            await endpoint(scope, receive, send)
            return
        name = scope["url_route"]["kwargs"]["app"]
        allowed = allowed_for(runtime.snapshot.applications.get(name), origin=origin)
        asks_first = header(scope, b"access-control-request-method") is not None
        if scope["method"] == "OPTIONS" and asks_first:
            permission = [(b"access-control-allow-methods", methods), SENT, REMEMBERED]
            fields = [VARY, *allowed, *(permission if allowed else ())]
            await send({"type": "http.response.start", "status": 204, "headers": fields})
            await send({"type": "http.response.body", "body": b""})
            return
        await endpoint(scope, receive, _adding(send, [VARY, *allowed]))

    return shared


def allowed_for(application: ApplicationSpec | None, *, origin: bytes) -> list[tuple[bytes, bytes]]:
    """The headers that let a page of this origin read an answer; none where it may not."""
    listed = application.allowed_origins.split() if application is not None else []
    if ANY in listed:
        return [(b"access-control-allow-origin", b"*"), EXPOSED]
    if origin.decode("latin-1").lower() in listed:
        return [(b"access-control-allow-origin", origin), EXPOSED]
    return []


def _adding(send: Send, headers: Headers) -> Send:
    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], *headers]
        await send(message)

    return sending
