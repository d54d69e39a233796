"""Whose a request is: of the processes that answer queries, or of those that show the console.

The patterns are those that requests are routed by (`serving.api.paths`), matched against the path
that routers see. So both kinds of process come to the same end, and none sends back what the other
has sent it.
"""

from __future__ import annotations

import re
from enum import StrEnum
from urllib.parse import unquote

import httptools

from serving.api import paths

# What changes an application's selection resets what was learned.
CHANGING = frozenset({b"DELETE", b"PUT"})


class Kind(StrEnum):
    """The kinds of web process."""

    PREDICT = "predict"
    CONSOLE = "console"


_selection = re.compile(paths.SELECTION).fullmatch
_QUERIES = tuple(
    re.compile(path).fullmatch
    for path in (
        paths.PREDICT,
        paths.OWN_PREDICT,
        paths.FEEDBACK,
        paths.OWN_UPDATE,
        paths.SCORE,
        paths.SOCKET,
        paths.LIVE,
        paths.READY,
        paths.SERVING,
    )
)


def whose(method: bytes, target: bytes) -> Kind | None:
    """Return who answers a request with this method and target, as they stand in its first line.

    None where the target is none: whoever reads it refuses it.
    """
    path = path_of(target)
    if path is None:
        return None
    if _selection(path):
        return Kind.CONSOLE if method in CHANGING else Kind.PREDICT
    return Kind.PREDICT if any(matches(path) for matches in _QUERIES) else Kind.CONSOLE


def path_of(target: bytes) -> str | None:
    """Return the path that requests with this target are routed by, relative to the root."""
    try:
        raw = httptools.parse_url(target).path
    except httptools.HttpParserInvalidURLError:
        return None
    if raw is None:
        return None
    path: str = raw.decode("ascii")
    return (unquote(path) if "%" in path else path).lstrip("/")
