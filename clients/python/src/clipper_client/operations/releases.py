"""Uploads of artifacts, releases and the wait for their end, and lists of rows."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from clipper_client.answers import Release, parsed
from clipper_client.clipper_error import ClipperError
from clipper_client.inputs import encoded
from clipper_client.options import model_path
from clipper_client.transport.remote_server import Server, settled

PIECES_FROM = 8 << 20  # sending less once more costs little
PIECE_BYTES = 2 << 20  # as much as the server takes in one request


async def uploaded(server: Server, name: str, file: Path, *, fields: Mapping[str, str]) -> Any:
    """Make a version of a model, with this file as its artifact and these fields of the form."""
    path = f"{model_path(name, 'versions')}/"
    size = await server.work(lambda: file.stat().st_size)
    if size >= PIECES_FROM:
        digest = await server.work(lambda: digest_of(file))
        await _send_pieces(server, file, digest=digest, size=size)
        form = {**fields, "sha256": digest}
        return await server.json("POST", path, form=form, repeatable=False)
    return await server.json("POST", path, form=fields, file=file, repeatable=False)


async def _send_pieces(server: Server, file: Path, *, digest: str, size: int) -> None:
    path = f"/api/v1/uploads/{digest}"
    there = await server.json("GET", f"{path}?total={size}", patient=True)
    while (received := there["received"]) < size:
        piece = await server.work(lambda: _read(file, received))
        last = received + len(piece) - 1
        headers = {
            "content-type": "application/octet-stream",
            "content-range": f"bytes {received}-{last}/{size}",
        }
        try:
            there = await server.json("PUT", path, body=piece, headers=headers, patient=True)
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


async def released(
    server: Server, path: str, *, body: Mapping[str, Any], wait: bool | float
) -> Release:
    """Ask for a release, and wait until it has ended. Raises ClipperError if it didn't go live."""
    until = monotonic() + (600.0 if wait is True else wait)
    found = await server.json("POST", path, body=encoded(dict(body)), repeatable=False)
    release: Release = parsed(Release, found)
    if not wait:
        return release
    # One that is live at once is waited for too: until the server answers queries by it.
    wanted = release.is_open or release.state == "live"
    while wanted and (left := until - monotonic()) > 0:
        release = await _ended(server, release, within_s=min(20.0, left))
        wanted = release.is_open
    return _checked(release)


async def _ended(server: Server, release: Release, *, within_s: float) -> Release:
    """Return the release as it is then; the server waits, unless too many wait there already."""
    began, pause_s = monotonic(), 0.5
    found: Release = parsed(
        Release,
        await server.json(
            "GET",
            model_path(release.model, "releases", str(release.id)),
            params={"wait": f"{within_s:.3f}"},
            extra_time_s=within_s,
            patient=True,
        ),
    )
    if found.is_open and monotonic() - began < min(pause_s, within_s):
        await settled(server.sleep(pause_s))
    return found


def _checked(release: Release) -> Release:
    if release.state == "live":
        return release
    arm, details = f"{release.model}:{release.version}", msgspec.to_builtins(release)
    if release.is_open:
        progress = release.progress or release.state
        raise ClipperError(
            f"{arm} isn't live yet: {progress}.", code="not_live_in_time", details=details
        )
    reason = release.error or "another release took its place"
    raise ClipperError(f"{arm} didn't go live: {reason}", code="release_failed", details=details)


async def listed(server: Server, path: str) -> list[dict[str, Any]]:
    """Return all rows of a list, page by page."""
    rows: list[dict[str, Any]] = []
    while True:
        params = {"offset": str(len(rows))}
        response = await server.ask("GET", f"/api/v1/{path}/", params=params)
        found = msgspec.json.decode(response.content)
        rows += found
        if not found or len(rows) >= int(response.headers.get("x-total-count", "0")):
            return rows


async def live_version(server: Server, name: str) -> str:
    """Return a model's live version. Raises ClipperError if it has none."""
    live = (await server.json("GET", model_path(name)))["live_version"]
    if live is None:
        raise ClipperError(f"{name} has no live version.", code="not_found", status=404)
    return str(live)
