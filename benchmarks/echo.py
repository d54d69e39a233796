"""The yardstick: what a bare ASGI callable on the same server makes of the same body.

`/` looks at the body as Clipper's web process does, which leaves the input raw; `/full` turns it
into Python objects. Both answer with about as many bytes as a prediction has.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_TYPE = (b"content-type", b"application/json")
# With the size of the input in front, as long as the answer of one model.
PADDING = b"." * 200


class Body(msgspec.Struct, forbid_unknown_fields=True):
    input: msgspec.Raw


class FullBody(msgspec.Struct, forbid_unknown_fields=True):
    input: list[float]


_DECODERS: dict[str, msgspec.json.Decoder[Body] | msgspec.json.Decoder[FullBody]] = {
    "/": msgspec.json.Decoder(Body),
    "/full": msgspec.json.Decoder(FullBody),
}


async def application(scope: Message, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await _lifespan(receive, send)
        return
    body = await _whole_body(receive)
    decoded = _DECODERS[scope["path"]].decode(body)
    answer = b'{"size":%d,"padding":"%b"}' % (len(decoded.input), PADDING)
    await send({"type": "http.response.start", "status": 200, "headers": [JSON_TYPE]})
    await send({"type": "http.response.body", "body": answer})


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body


async def _lifespan(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await send({"type": "lifespan.shutdown.complete"})
