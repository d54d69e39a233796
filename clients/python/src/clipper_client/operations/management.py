"""What there is and what serves: releases, replicas, logs, and any other endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any
from urllib.parse import quote

from clipper_client.answers import Log, Release, Status, parsed
from clipper_client.errors import NOT_LIVE_IN_TIME, RELEASE_FAILED, ClipperError
from clipper_client.inputs import encoded
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Operation, Pause, Request, Response

# One request waits so long at the server for a release to end; then it is asked again.
WAIT_S = 20.0
LIVE = "live"
# Where somebody watches, it is asked this often how far it is.
WATCHED_S = 1.0
# True as `wait`.
ENOUGH_S = 600.0
# The server answers at once where too many wait there.
PAUSE_S = 0.5
# More than others are tried again: a release goes on while the server that tells of it restarts.
MORE_RETRIES = 4


def model_path(name: str, *rest: str) -> str:
    return "/".join(["/api/v1/models", quote(name, safe=""), *(quote(part) for part in rest)])


def request(
    method: str,
    path: str,
    *,
    body: Any = None,
    params: Mapping[str, str] | None = None,
    extra_time_s: float = 0.0,
    policy: RetryPolicy,
) -> Operation[Any]:
    """Ask one endpoint, whose path may leave out /api/v1/; returns its JSON."""
    full = path if path.startswith("/") else f"/api/v1/{path}"
    response = yield from ask(
        Request(
            method=method,
            path=full,
            body=None if body is None else encoded(body),
            params=params or {},
            extra_time_s=extra_time_s,
            repeatable=method in ("GET", "PUT", "DELETE"),
        ),
        policy=policy,
    )
    return response.json() if response.body else None


def rollback(
    name: str, *, to: str | None, reason: str, wait: bool | float, policy: RetryPolicy
) -> Operation[Release]:
    body = {"reason": reason} | ({} if to is None else {"to": to})
    return (yield from released(model_path(name, "rollback"), body=body, wait=wait, policy=policy))


def released(
    path: str,
    *,
    body: Mapping[str, Any],
    wait: bool | float,
    policy: RetryPolicy,
    watch: Callable[[Release], None] | None = None,
) -> Operation[Release]:
    """Ask for a release, and wait until it has ended; raises where it didn't go live.

    `watch` is told each second how far it is.
    """
    until = monotonic() + seconds_of(wait)
    asked = Request(method="POST", path=path, body=encoded(dict(body)), repeatable=False)
    response = yield from ask(asked, policy=policy)
    release: Release = parsed(Release, response.json())
    if not wait:
        return release
    # One that is live at once is waited for too: until the server answers queries by it.
    wanted = release.is_open or release.state == LIVE
    while wanted and (left := until - monotonic()) > 0:
        longest_s, watched = WAIT_S, False
        if watch is not None and release.is_open:
            watch(release)
            longest_s, watched = WATCHED_S, True
        release = yield from _ended(release, within_s=min(longest_s, left), policy=policy)
        # Who looks each second may see it live before the server answers by it.
        wanted = release.is_open or (watched and release.state == LIVE)
    return checked(release)


def _ended(release: Release, *, within_s: float, policy: RetryPolicy) -> Operation[Release]:
    began = monotonic()
    path = model_path(release.model, "releases", str(release.id))
    response = yield from ask(
        Request(method="GET", path=path, params={"wait": f"{within_s:.3f}"}, extra_time_s=within_s),
        policy=replace(policy, retries=policy.retries + MORE_RETRIES),
    )
    found: Release = parsed(Release, response.json())
    if found.is_open and monotonic() - began < min(PAUSE_S, within_s):
        yield Pause(PAUSE_S)
    return found


def checked(release: Release) -> Release:
    """Return a live release; raise for any other."""
    if release.state == LIVE:
        return release
    named = f"{release.model}:{release.version}"
    if release.is_open:
        raise ClipperError(
            f"{named} isn't live yet: {release.progress or release.state}.",
            code=NOT_LIVE_IN_TIME,
            details=release.as_dict(),
        )
    reason = release.error or "another release took its place"
    raise ClipperError(
        f"{named} didn't go live: {reason}", code=RELEASE_FAILED, details=release.as_dict()
    )


def seconds_of(wait: bool | float) -> float:
    return ENOUGH_S if wait is True else float(wait)


def scale(
    name: str, *, replicas: int, version: str | None, policy: RetryPolicy
) -> Operation[dict[str, Any]]:
    body = {"replicas": replicas} | ({} if version is None else {"version": version})
    path = model_path(name, "scale")
    response = yield from ask(Request(method="POST", path=path, body=encoded(body)), policy=policy)
    found: dict[str, Any] = response.json()
    return found


def status(*, policy: RetryPolicy) -> Operation[Status]:
    found: dict[str, Any] = {}
    for what in ("applications", "models", "replicas"):
        found[what] = yield from listed(what, policy=policy)
    state: Status = parsed(Status, found)
    return state


def listed(path: str, *, policy: RetryPolicy) -> Operation[list[dict[str, Any]]]:
    """Return all rows of a list, page by page."""
    rows: list[dict[str, Any]] = []
    while True:
        page = Request(method="GET", path=f"/api/v1/{path}/", params={"offset": str(len(rows))})
        response: Response = yield from ask(page, policy=policy)
        found = response.json()
        rows += found
        if not found or len(rows) >= int(response.headers.get("x-total-count", "0")):
            return rows


def logs(name: str, *, version: str | None, lines: int, policy: RetryPolicy) -> Operation[Log]:
    if version is None:
        version = yield from live_version(name, policy=policy)
    path = model_path(name, "versions", version, "log")
    response = yield from ask(
        Request(method="GET", path=path, params={"lines": str(lines)}), policy=policy
    )
    log: Log = parsed(Log, response.json())
    return log


def live_version(name: str, *, policy: RetryPolicy) -> Operation[str]:
    """Return a model's live version. Raises ClipperError where it has none."""
    response = yield from ask(Request(method="GET", path=model_path(name)), policy=policy)
    live = response.json()["live_version"]
    if live is None:
        raise ClipperError(f"{name} has no live version.", code="not_found", status=404)
    return str(live)
