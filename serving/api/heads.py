"""The heads of prediction requests: parsed once, recognised by their bytes ever after.

A client sends the same head with all of its requests, but for the length of the body. What follows
from it, the application and whether this key may ask it, holds until the registry changes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from time import time
from typing import NamedTuple

import httptools

from registry.errors import ClipperError
from registry.specs import PREDICT, ApplicationSpec, Snapshot
from serving.api.access import application_named, key_of
from serving.api.paths import application_to_predict

END = b"\r\n\r\n"
# Longer heads, and those of more different kinds, are none that a program repeats.
MAX_BYTES = 4096
CAPACITY = 1024
# A body whose length has more digits is refused anyway.
MAX_DIGITS = 12


class PredictionHead(NamedTuple):
    """What a head says: who is asked, until when the key is good, and how the request ends."""

    application: ApplicationSpec
    allowed_until: float
    length: int
    keep_alive: bool


class Heads:
    """Remembers heads for as long as the snapshot lasts that they were checked against."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._current = snapshot
        self._snapshot = snapshot()
        self._known: dict[bytes, PredictionHead] = {}

    def find(self, raw: bytes) -> PredictionHead | None:
        """Read a head that ends with its empty line; None where it needs a closer look.

        That is any request but a plain POST for predictions of a known length by a key that may.
        """
        snapshot = self._current()
        if snapshot is not self._snapshot:
            self._known.clear()
            self._snapshot = snapshot
        known = self._known.get(raw)
        if known is None:
            known = read_head(raw, snapshot=snapshot) if raw.startswith(b"POST /") else None
            if known is None:
                return None
            if len(self._known) >= CAPACITY:
                self._known.clear()
            self._known[raw] = known
        return known if known.allowed_until > time() else None


def read_head(raw: bytes, *, snapshot: Snapshot) -> PredictionHead | None:
    """Parse a head, and check what it asks for; None where that isn't as plain as can be."""
    fields = _Fields()
    parser = httptools.HttpRequestParser(fields)
    try:
        parser.feed_data(raw)
        plain = (
            fields.complete
            and parser.get_method() == b"POST"
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
        )
        if not plain:
            return None
        name = application_to_predict(httptools.parse_url(fields.url).path.decode("ascii"))
        length = fields.length()
        if name is None or length is None:
            return None
        authorization = fields.values.get(b"authorization")
        application, until = _allowed(snapshot, name=name, authorization=authorization)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeError, ClipperError):
        return None
    return PredictionHead(application, until, length, bool(parser.should_keep_alive()))


def _allowed(
    snapshot: Snapshot, *, name: str, authorization: bytes | None
) -> tuple[ApplicationSpec, float]:
    """Return the application and until when that key may ask it; raises where it may not."""
    key_in = partial(key_of, authorization)
    application = application_named(snapshot, name=name, needs=PREDICT, key_in=key_in)
    expires_at = None if application.public else key_in(snapshot).expires_at
    return application, math.inf if expires_at is None else expires_at


class _Fields:
    """What httptools' parser finds in one head."""

    # They change how a body is to be read, or how a request goes on.
    _SPECIAL = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})

    def __init__(self) -> None:
        self.url = b""
        self.values: dict[bytes, bytes] = {}
        self.complete = False
        self._plain = True

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._plain &= name not in self._SPECIAL and name not in self.values
        self.values[name] = value

    def on_headers_complete(self) -> None:
        self.complete = True

    def length(self) -> int | None:
        """Return the length of the body, None where it can't be told as simply as that."""
        digits = self.values.get(b"content-length", b"")
        plain = self._plain and digits.isdigit() and len(digits) <= MAX_DIGITS
        return int(digits) if plain else None
