"""Holds answers back that a view wants to go out late (`registry.throttle`)."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any

from registry.throttle import SCOPE_KEY, Lateness
from serving.http.asgi import Endpoint, Receive, Scope, Send

# So many of a process wait at once, with an answer of some 12 KB each. Of more, who has waited
# longest goes: told at once, the last one would learn how long a password takes.
MOST = 256


def with_late_answers(application: Endpoint, *, most: int = MOST) -> Endpoint:
    """Return the application whose late answers are kept, and sent when they are due.

    Nothing of the application waits. Who leaves before has waited, and frees a place.
    """
    waiting: dict[asyncio.Timeout, None] = {}

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
            await _wait(receive, until=came + lateness.seconds, waiting=waiting, most=most)
        for message in kept:
            await send(message)

    return answering


async def _wait(
    receive: Receive, *, until: float, waiting: dict[asyncio.Timeout, None], most: int
) -> None:
    """Wait until then, until the client has left, or until `most` others have come since."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until) as place:
            waiting[place] = None
            try:
                if len(waiting) > most:
                    _have_the_first_go(waiting)
                while (await receive())["type"] != "http.disconnect":
                    pass
            finally:
                waiting.pop(place, None)


def _have_the_first_go(waiting: dict[asyncio.Timeout, None]) -> None:
    first = next(iter(waiting))
    del waiting[first]
    if not first.expired():
        first.reschedule(asyncio.get_running_loop().time())
