"""The yardstick: a bare ASGI callable that looks at a body as Clipper does, and answers as much."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import msgspec

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

JSON_TYPE = (b"content-type", b"application/json")
PADDING = b"." * 200  # with the input's size in front, as long as the answer of one model


class Body(msgspec.Struct, forbid_unknown_fields=True):
    input: msgspec.Raw


decode = msgspec.json.Decoder(Body).decode


async def application(scope: Message, receive: Receive, send: Send) -> None:
    body = await _whole_body(receive)
    answer = b'{"size":%d,"padding":"%b"}' % (len(decode(body).input), PADDING)
    await send({"type": "http.response.start", "status": 200, "headers": [JSON_TYPE]})
    await send({"type": "http.response.body", "body": answer})


async def _whole_body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
    return body
