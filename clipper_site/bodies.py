"""Refuses bodies that are too large before Django spools them to disk, known caller or not."""

from __future__ import annotations

import re
from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

from serving.api.http import Endpoint, Receive, Scope, Send, header, send_error, too_large

UPLOAD_PATH = re.compile(
    r"/api/v1/models/[^/]+/versions/?"
    r"|/admin/registry/modelversion/add/"
).fullmatch
# More digits than any size has, and fewer than Python refuses to read as a number.
MAX_DIGITS = 18


def limit_of(path: str) -> int:
    """Return how many bytes the body of a request to `path` may have."""
    ordinary = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return int(settings.CLIPPER_MAX_ARTIFACT_BYTES) + ordinary if UPLOAD_PATH(path) else ordinary


def with_limited_bodies(application: Endpoint) -> Endpoint:
    """Return the application with 413 for what is over the limit, announced or only counted."""

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        limit = limit_of(scope["path"])
        if _announces_more(scope, limit=limit):
            await send_error(send, too_large(limit))
            return
        size = 0
        started = False

        async def counted() -> MutableMapping[str, Any]:
            nonlocal size
            if size > limit:
                return {"type": "http.disconnect"}
            message = await receive()
            size += len(message.get("body", b""))
            # The application lets go of what it has read so far, as for a client that went away.
            return {"type": "http.disconnect"} if size > limit else message

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        await application(scope, counted, noted)
        if size > limit and not started:
            await send_error(send, too_large(limit))

    return limited


def _announces_more(scope: Scope, *, limit: int) -> bool:
    length = header(scope, b"content-length") or b""
    return length.isdigit() and (len(length) > MAX_DIGITS or int(length) > limit)
