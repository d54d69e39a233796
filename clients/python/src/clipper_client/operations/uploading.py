"""Sends a version's artifact: a large one in pieces, which go on where a link broke."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from clipper_client.answers import parsed
from clipper_client.errors import ClipperError
from clipper_client.operations.management import model_path
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Operation, Request, Response, Upload, Work

# From this size on it is sent in pieces; below, sending all of it again costs little.
PIECES_FROM = 32 << 20
# The server takes 2 MiB in one request.
PIECE_BYTES = 2 << 20
# A link may be away for a minute or so.
MORE_RETRIES = 6
# An older server knows no pieces.
UNKNOWN = (404, 405)


def uploaded(
    name: str,
    file: Path,
    *,
    fields: Mapping[str, str],
    progress: Callable[[int], object] | None = None,
    policy: RetryPolicy,
) -> Operation[Response]:
    """Make a version of a model, with this file as its artifact and these fields of the form."""
    said: Mapping[str, str] = fields
    sent: Path | None = file
    if file.stat().st_size >= PIECES_FROM:
        digest: str = yield Work(lambda: digest_of(file))
        pieces = _Pieces(file, digest=digest, progress=progress)
        if (yield from pieces.sent(policy=replace(policy, retries=policy.retries + MORE_RETRIES))):
            said, sent = {**fields, "sha256": digest}, None
    request = Request(
        method="POST",
        path=f"{model_path(name, 'versions')}/",
        upload=Upload(fields=said, file=sent, progress=None if sent is None else progress),
        repeatable=False,
    )
    return (yield from ask(request, policy=policy))


class _There(msgspec.Struct):
    """How much of an upload the server has, in bytes."""

    received: int


class _Pieces:
    """One file on its way."""

    def __init__(
        self, file: Path, *, digest: str, progress: Callable[[int], object] | None
    ) -> None:
        self._file = file
        self._path = f"/api/v1/uploads/{digest}"
        self._size = file.stat().st_size
        self._progress = progress

    def sent(self, *, policy: RetryPolicy) -> Operation[bool]:
        """Send what isn't there yet; False where the server doesn't know how."""
        try:
            there = Request(method="GET", path=f"{self._path}?total={self._size}")
            response = yield from ask(there, policy=policy)
        except ClipperError as error:
            if error.status in UNKNOWN:
                return False
            raise
        received = _received(response.json())
        while received < self._size:
            self._tell(received)
            received = yield from self._next(received, policy=policy)
        self._tell(received)
        return True

    def _next(self, offset: int, *, policy: RetryPolicy) -> Operation[int]:
        """Send the next piece; returns how much is there then, by what the server says."""
        piece: bytes = yield Work(lambda: self._read(offset))
        last = offset + len(piece) - 1
        request = Request(
            method="PUT",
            path=self._path,
            body=piece,
            headers={
                "content-type": "application/octet-stream",
                "content-range": f"bytes {offset}-{last}/{self._size}",
            },
        )
        try:
            response = yield from ask(request, policy=policy)
        except ClipperError as error:
            # A piece whose answer was lost is there.
            if error.status != 409 or "received" not in error.details:
                raise
            return _received(error.details)
        return _received(response.json())

    def _read(self, offset: int) -> bytes:
        with self._file.open("rb") as file:
            file.seek(offset)
            return file.read(PIECE_BYTES)

    def _tell(self, received: int) -> None:
        if self._progress is not None:
            self._progress(received)


def _received(answer: Any) -> int:
    there: int = parsed(_There, answer).received
    return there


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
