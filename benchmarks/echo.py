"""The yardstick: a bare ASGI callable that looks at a body as Clipper does, and answers as much."""

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


_decode = msgspec.json.Decoder(Body).decode


async def application(scope: Message, receive: Receive, send: Send) -> None:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    answer = b'{"size":%d,"padding":"%b"}' % (len(_decode(body).input), PADDING)
    await send({"type": "http.response.start", "status": 200, "headers": [JSON_TYPE]})
    await send({"type": "http.response.body", "body": answer})
