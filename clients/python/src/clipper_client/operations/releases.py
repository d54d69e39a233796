"""Releases and the wait for their end, and lists of rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any

import msgspec

from clipper_client.answers import Release, parsed
from clipper_client.errors import NOT_LIVE_IN_TIME, RELEASE_FAILED, ClipperError
from clipper_client.inputs import encoded
from clipper_client.options import model_path
from clipper_client.transport.server import Server, settled

LIVE = "live"
# One request waits so long at the server for a release to end, or as long where somebody watches.
WAIT_S, WATCHED_S = 20.0, 1.0
# True as `wait`.
ENOUGH_S = 600.0
# The server answers at once if too many wait there.
PAUSE_S = 0.5
# A release goes on while the server restarts.
MORE_RETRIES = 4


async def released(
    server: Server,
    path: str,
    *,
    body: Mapping[str, Any],
    wait: bool | float,
    watch: Callable[[Release], None] | None = None,
) -> Release:
    """Ask for a release, and wait until it has ended; raises if it didn't go live.

    `watch` is called each second with how far it is.
    """
    until = monotonic() + (ENOUGH_S if wait is True else wait)
    found = await server.json("POST", path, body=encoded(dict(body)), repeatable=False)
    release: Release = parsed(Release, found)
    if not wait:
        return release
    # One that is live at once is waited for too: until the server answers queries by it.
    wanted = release.is_open or release.state == LIVE
    while wanted and (left := until - monotonic()) > 0:
        longest_s, watched = WAIT_S, False
        if watch is not None and release.is_open:
            watch(release)
            longest_s, watched = WATCHED_S, True
        release = await _ended(server, release, within_s=min(longest_s, left))
        # Seen after a second it may be live before the server answers by it.
        wanted = release.is_open or (watched and release.state == LIVE)
    return _checked(release)


async def _ended(server: Server, release: Release, *, within_s: float) -> Release:
    began = monotonic()
    found: Release = parsed(
        Release,
        await server.json(
            "GET",
            model_path(release.model, "releases", str(release.id)),
            params={"wait": f"{within_s:.3f}"},
            extra_time_s=within_s,
            more_retries=MORE_RETRIES,
        ),
    )
    if found.is_open and monotonic() - began < min(PAUSE_S, within_s):
        await settled(server.sleep(PAUSE_S))
    return found


def _checked(release: Release) -> Release:
    """Return a live release; raise for any other."""
    if release.state == LIVE:
        return release
    arm, details = f"{release.model}:{release.version}", msgspec.to_builtins(release)
    if release.is_open:
        progress = release.progress or release.state
        raise ClipperError(
            f"{arm} isn't live yet: {progress}.", code=NOT_LIVE_IN_TIME, details=details
        )
    reason = release.error or "another release took its place"
    raise ClipperError(f"{arm} didn't go live: {reason}", code=RELEASE_FAILED, details=details)


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
