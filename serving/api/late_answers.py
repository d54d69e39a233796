"""Holds answers back that a view wants to go out late (`registry.late_answers`)."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from registry.late_answers import SCOPE_KEY, Lateness
from serving.api.http import Endpoint, Receive, Scope, Send

# So many of a process wait at once, with an answer of some 12 KB each; others are answered at once.
MOST = 256


def with_late_answers(application: Endpoint, *, most: int = MOST) -> Endpoint:
    """Return the application whose late answers are kept, and sent when they are due.

    Nothing of the application waits. Who leaves before has waited, and frees a place.
    """
    waiting = 0

    async def answering(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal waiting
        lateness = Lateness()
        kept: list[MutableMapping[str, Any]] = []

        async def keep(message: MutableMapping[str, Any]) -> None:
            if lateness.seconds:
                kept.append(message)
            else:
                await send(message)

        came = asyncio.get_running_loop().time()
        await application({**scope, SCOPE_KEY: lateness}, receive, keep)
        if kept and waiting < most:
            waiting += 1
            try:
                await _stays(receive, until=came + lateness.seconds)
            finally:
                waiting -= 1
        for message in kept:
            await send(message)

    return answering


async def _stays(receive: Receive, *, until: float) -> None:
    """Wait until then, or until the client has left."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            while (await receive())["type"] != "http.disconnect":
                pass
