"""Admits uploads from known callers, a few at a time, if the disk has room.

Django spools the whole body of a request before it authenticates the sender. Here the caller is
checked first, and the body is written once, as it arrives (`registry.api.upload_handler`).
"""

from __future__ import annotations

import asyncio
import io
import logging
from collections import deque
from collections.abc import Mapping, MutableMapping
from typing import Any
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.db import DatabaseError, close_old_connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse

from core.errors import BadRequest, ClipperError, Saturated, Unauthenticated, Unavailable
from core.loop.backoff import Backoff
from registry.api.upload_handler import SCOPE_KEY, admit, takes_uploads
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.disk_space import need_room
from registry.artifacts.incoming import IncomingArtifact
from registry.databases import database_error
from serving.http.asgi import Endpoint, Receive, Scope, Send, header, send_body, send_error

Message = MutableMapping[str, Any]

logger = logging.getLogger(__name__)


class UploadHandlingASGIHandler(ASGIHandler):
    """Django, with all middleware and the view of a request in one thread.

    Django would go from the event loop to that thread and back for each of a dozen steps.
    """

    def load_middleware(self, is_async: bool = False) -> None:
        super().load_middleware(is_async=False)

    async def get_response_async(self, request: HttpRequest) -> HttpResponseBase:
        return await sync_to_async(self.get_response, thread_sensitive=True)(request)

    def create_request(self, scope: Mapping[str, Any], body_file: Any) -> Any:
        upload = scope.get(SCOPE_KEY)
        if upload is None and _comes_in_chunks(scope):
            scope = _with_length(scope, body_file.seek(0, io.SEEK_END))
            body_file.seek(0)
        return super().create_request(scope, upload or body_file)


class Uploads:
    """The uploads of one web process."""

    def __init__(self, application: Endpoint) -> None:
        self._application = application
        self._open: set[IncomingBody] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            size = _announced(scope)
            await self._admitted(scope, size=size)
            body = await self._let_in(size, receive=receive)
        except ClipperError as error:
            await _refuse(scope, send, error=error)
            return
        try:
            await self._application({**scope, SCOPE_KEY: body}, body.after, send)
        finally:
            self._open.discard(body)
            body.end()

    async def _admitted(self, scope: Scope, *, size: int) -> None:
        try:
            async with asyncio.timeout(10.0):
                await sync_to_async(_admit, thread_sensitive=False)(scope)
        except TimeoutError:
            raise Unavailable("The database doesn't answer; try again.") from None
        except DatabaseError as error:
            # On a full disk SQLite can't even be read where nobody has it open.
            await asyncio.to_thread(need_room, size)
            raise database_error(error) from error

    async def _let_in(self, size: int, *, receive: Receive) -> IncomingBody:
        if len(self._open) >= settings.CLIPPER_UPLOADS_AT_ONCE:
            raise Saturated(
                f"{len(self._open)} uploads are under way; try again.", retry_after_s=5.0
            )
        body = IncomingBody(size, receive=receive, loop=asyncio.get_running_loop())
        self._open.add(body)
        try:
            promised = sum(other.left for other in self._open if other is not body)
            await asyncio.to_thread(need_room, size, promised=promised)
        except BaseException:
            self._open.discard(body)
            raise
        return body


class IncomingBody(io.RawIOBase):
    """The body of a request as a file, read in a thread while it arrives, no faster than that."""

    def __init__(self, size: int, *, receive: Receive, loop: asyncio.AbstractEventLoop) -> None:
        self.left = size
        self._receive = receive
        self._loop = loop
        # Where cores are short it comes at 50 MB/s then, which takes a tenth of one.
        self._give_way = Backoff()
        self._chunks: deque[bytes] = deque()
        self._more = True
        self._gone = False
        self._has_ended_body = False
        self._ended = asyncio.Event()
        self._incoming: list[IncomingArtifact] = []

    # --- for the thread that parses ---------------------------------------------------------

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        """Return what is there, at most `size` bytes; b"" at the end. Raises OSError if cut off."""
        while not self._chunks and self._more:
            for message in self._next():
                self._take(message)
            self._give_way()
        if not self._chunks:
            return b""
        chunk = self._chunks.popleft()
        if 0 <= size < len(chunk):
            self._chunks.appendleft(chunk[size:])
            return chunk[:size]
        return chunk

    def watch(self, incoming: IncomingArtifact) -> None:
        self._incoming.append(incoming)

    def _next(self) -> list[Message]:
        return asyncio.run_coroutine_threadsafe(self._piece(), self._loop).result()

    async def _piece(self) -> list[Message]:
        """Return half a megabyte, as each piece wakes up the thread that parses and the event loop.

        What comes slowly is read as it comes.
        """
        messages: list[Message] = []
        size, more = 0, True
        while more and size < 512 << 10:
            messages.append(message := await self._within_time())
            came = len(message.get("body", b""))
            size += came
            more = bool(message.get("more_body")) and came >= 128 << 10
        return messages

    async def _within_time(self) -> Message:
        if self._gone or self._ended.is_set():
            return {"type": "http.disconnect"}
        try:
            async with asyncio.timeout(60.0):
                return await self._receive()
        except TimeoutError:
            return {"type": "http.disconnect"}

    def _take(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self._gone = True
            raise ConnectionResetError("The client left before its upload was complete.")
        if chunk := message.get("body", b""):
            self._chunks.append(chunk)
            self.left = max(0, self.left - len(chunk))
        self._more = bool(message.get("more_body"))

    # --- for the event loop -----------------------------------------------------------------

    async def after(self) -> Message:
        """Tell the application that it has all there is; what it reads it reads from the file."""
        if not self._has_ended_body:
            self._has_ended_body = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._ended.wait()
        return {"type": "http.disconnect"}

    def end(self) -> None:
        """Nobody reads any more; what hadn't come whole is removed."""
        self._ended.set()
        if self._more or self._gone:
            for incoming in self._incoming:
                incoming.close()


def is_upload(scope: Scope) -> bool:
    """Return whether the request brings a file to where files are taken."""
    form = (header(scope, b"content-type") or b"").lower().startswith(b"multipart/form-data")
    return scope["method"] == "POST" and form and takes_uploads(scope["path"])


def clear_remnants() -> None:
    """Remove what uploads left that were killed some time ago."""
    removed = ArtifactStore.default().clear_remnants()
    if removed:
        logger.info("remnants of broken uploads removed count=%d", removed)


def _announced(scope: Scope) -> int:
    if _comes_in_chunks(scope):
        raise BadRequest("Expected an upload with its Content-Length, got one in chunks.")
    return int(header(scope, b"content-length") or b"0")


def _comes_in_chunks(scope: Mapping[str, Any]) -> bool:
    return any(name == b"transfer-encoding" for name, _ in scope["headers"])


def _with_length(scope: Mapping[str, Any], size: int) -> Mapping[str, Any]:
    """Return the scope of a body in chunks, which has arrived, as of one with its length.

    The REST framework and Django's forms with files ignore a body without it.
    """
    fields = [field for field in scope["headers"] if field[0] != b"transfer-encoding"]
    return {**scope, "headers": [*fields, (b"content-length", b"%d" % size)]}


def _admit(scope: Scope) -> None:
    close_old_connections()
    try:
        admit(ASGIRequest(scope, io.BytesIO()))
        clear_remnants()
    finally:
        close_old_connections()


async def _refuse(scope: Scope, send: Send, *, error: ClipperError) -> None:
    """Answer without reading the body; somebody who isn't signed in to the console is sent to."""
    path = str(scope["path"])
    if isinstance(error, Unauthenticated) and path.startswith(reverse("admin:index")):
        sign_in = f"{reverse('admin:login')}?next={quote(path)}"
        await send_body(send, b"", status=302, headers=[(b"location", sign_in.encode())])
    else:
        await send_error(send, error)
