"""Sends a version's artifact: a large one in pieces, which go on if a connection broke."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from clipper_client.errors import ClipperError
from clipper_client.options import model_path
from clipper_client.transport.server import Server
from clipper_client.transport.upload import Upload

# From this size on it is sent in pieces; below, sending all of it again costs little.
PIECES_FROM = 8 << 20
# The server takes 2 MiB in one request.
PIECE_BYTES = 2 << 20
# A network may be away for a minute or so.
MORE_RETRIES = 6

Progress = Callable[[int], object]


async def uploaded(
    server: Server,
    name: str,
    file: Path,
    *,
    fields: Mapping[str, str],
    progress: Progress = lambda sent: None,
) -> Any:
    """Make a version of a model, with this file as its artifact and these fields of the form."""
    upload = Upload(fields=fields, file=file)
    size = await server.work(lambda: file.stat().st_size)
    if size >= PIECES_FROM:
        digest = await server.work(lambda: digest_of(file))
        await _send_pieces(server, file, digest=digest, size=size, progress=progress)
        upload = Upload(fields={**fields, "sha256": digest})
    path = f"{model_path(name, 'versions')}/"
    made = await server.json("POST", path, upload=upload, repeatable=False)
    progress(size)
    return made


async def _send_pieces(
    server: Server, file: Path, *, digest: str, size: int, progress: Progress
) -> None:
    """Send what isn't there yet."""
    path = f"/api/v1/uploads/{digest}"
    there = await server.json("GET", f"{path}?total={size}", more_retries=MORE_RETRIES)
    while (received := there["received"]) < size:
        progress(received)
        piece = await server.work(lambda: _read(file, received))
        last = received + len(piece) - 1
        headers = {
            "content-type": "application/octet-stream",
            "content-range": f"bytes {received}-{last}/{size}",
        }
        try:
            there = await server.json(
                "PUT", path, body=piece, headers=headers, more_retries=MORE_RETRIES
            )
        except ClipperError as error:
            # A piece whose answer was lost is there.
            if error.status != 409 or "received" not in error.details:
                raise
            there = error.details


def _read(file: Path, offset: int) -> bytes:
    with file.open("rb") as opened:
        opened.seek(offset)
        return opened.read(PIECE_BYTES)


def digest_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
