"""Holds back answers that a view wants to go out late (`registry.security.throttle`)."""

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from registry.security.throttle import SCOPE_KEY, Lateness
from serving.http.asgi import Endpoint, Receive, Scope, Send


def with_late_answers(application: Endpoint) -> Endpoint:
    """Return the application whose late answers are sent when they are due; nothing else waits."""

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        lateness = Lateness()
        kept: list[MutableMapping[str, Any]] = []

        async def keep(message: MutableMapping[str, Any]) -> None:
            if lateness.seconds:
                kept.append(message)
            else:
                await send(message)

        came = asyncio.get_running_loop().time()
        await application({**scope, SCOPE_KEY: lateness}, receive, keep)
        if kept:
            with suppress(TimeoutError):
                async with asyncio.timeout_at(came + lateness.seconds):
                    while (await receive())["type"] != "http.disconnect":
                        pass
        for message in kept:
            await send(message)

    return answering
