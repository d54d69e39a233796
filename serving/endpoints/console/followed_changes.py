"""Answers who changed the registry once what they ask next is answered by it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from serving.http.asgi import Endpoint, Receive, Scope, Send

READING = frozenset({"GET", "HEAD", "OPTIONS"})


def with_followed_changes(
    management: Endpoint, *, followed: Callable[[], Awaitable[None]]
) -> Endpoint:
    """Return the console, which waits until changes are `followed` before it answers a request that
    may have made some.
    """

    async def following(scope: Scope, receive: Receive, send: Send) -> None:
        async def send_once_followed(message: Any) -> None:
            if message.get("status", 500) < 400:
                await followed()
            await send(message)

        await management(scope, receive, send if scope["method"] in READING else send_once_followed)

    return following
