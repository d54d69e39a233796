"""Notes what may have changed the registry, for what is asked of this process next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from serving.api.http import Endpoint, Receive, Scope, Send

API = "/api/v1/"
READING = frozenset({"GET", "HEAD", "OPTIONS"})


def with_noted_changes(management: Endpoint, *, changed: Callable[[], None]) -> Endpoint:
    """Return the management API, which says `changed` before it answers a request that may have
    changed the registry.
    """

    async def noting(scope: Scope, receive: Receive, send: Send) -> None:
        async def told(message: Any) -> None:
            if message.get("status", 500) < 400:
                changed()
            await send(message)

        writes = scope["method"] not in READING and scope["path"].startswith(API)
        await management(scope, receive, told if writes else send)

    return noting
