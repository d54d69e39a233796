"""Refuses bodies that are too large before Django spools them to disk, known caller or not."""

from collections.abc import MutableMapping
from typing import Any

from django.conf import settings

from clipper_site.uploads.admission import Uploads, is_upload
from core.errors import ClipperError
from serving.http.asgi import Endpoint, Receive, Scope, Send, header, send_error, too_large
from serving.http.limits import Limits, Unfinished, limits_of

GONE: MutableMapping[str, Any] = {"type": "http.disconnect"}


def limit_of(scope: Scope) -> int:
    """Return how many bytes the body of a request may have: an upload's, or what memory holds."""
    ordinary = int(settings.DATA_UPLOAD_MAX_MEMORY_SIZE)
    return ordinary + int(settings.CLIPPER_MAX_ARTIFACT_BYTES) if is_upload(scope) else ordinary


def with_limited_bodies(application: Endpoint) -> Endpoint:
    """Return the application with 413 for bodies over the limit, announced or only counted.

    The part of a body that Django keeps in memory counts as held (`serving.http.limits`).
    """
    uploads = Uploads(application)

    async def limited(scope: Scope, receive: Receive, send: Send) -> None:
        limit = limit_of(scope)
        if _announces_more(scope, limit=limit):
            await send_error(send, too_large(limit))
            return
        if is_upload(scope):
            await uploads(scope, receive, send)
            return
        body = _Body(limits_of(scope.setdefault("state", {})), limit=limit)
        started = False

        async def counted() -> MutableMapping[str, Any]:
            # The application lets go of what it has read so far, as for a client that went away.
            return GONE if body.refusal else body.take(await receive())

        async def noted(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await application(scope, counted, noted)
        finally:
            body.unfinished.end()
        if body.refusal is not None and not started:
            await send_error(send, body.refusal)

    return limited


class _Body:
    """A body that arrives: how much of it there is, and why the rest is refused."""

    def __init__(self, limits: Limits, *, limit: int) -> None:
        self.unfinished = Unfinished(limits)
        self._limit = limit
        self._size = 0
        self.refusal: ClipperError | None = None

    def take(self, message: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Return the message, or that of a client that left if it is too much."""
        self._size += len(message.get("body", b""))
        try:
            if self._size > self._limit:
                raise too_large(self._limit)
            self.unfinished.hold(min(self._size, int(settings.FILE_UPLOAD_MAX_MEMORY_SIZE)))
        except ClipperError as error:
            self.refusal = error
            return GONE
        return message


def _announces_more(scope: Scope, *, limit: int) -> bool:
    length = header(scope, b"content-length") or b""
    # More digits than any size has, and fewer than Python refuses to read as a number.
    return length.isdigit() and (len(length) > 18 or int(length) > limit)
