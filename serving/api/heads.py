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
from serving.api.limits import MAX_FIELDS
from serving.api.paths import application_to_predict

END = b"\r\n\r\n"
# Longer heads, and those of more different kinds, are none that a program repeats.
MAX_BYTES = 4096
CAPACITY = 4096
# A body whose length has more digits is refused anyway.
MAX_DIGITS = 12
# All that differs between the requests of a client follows one of these.
LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")


class PredictionHead(NamedTuple):
    """What the heads of a client's requests have in common: who is asked, until when the key is
    good, and whether the connection goes on. Only the length of the body differs.
    """

    application: ApplicationSpec
    allowed_until: float
    keep_alive: bool


class Heads:
    """Remembers heads for as long as the snapshot lasts that they were checked against."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._current = snapshot
        self._snapshot = snapshot()
        # By all of their bytes, and by those without the digits of the length.
        self._repeated: dict[bytes, tuple[PredictionHead, int]] = {}
        self._parsed: dict[bytes, PredictionHead] = {}

    def find(self, raw: bytes) -> tuple[PredictionHead, int] | None:
        """Read a head that ends with its empty line, and the length of its body in bytes; None
        where it needs a closer look.

        That is any request but a plain POST for predictions of a known length by a key that may.
        """
        snapshot = self._current()
        if snapshot is not self._snapshot:
            self._forget()
            self._snapshot = snapshot
        found = self._repeated.get(raw) or self._remembered(raw)
        return found if found is not None and found[0].allowed_until > time() else None

    def _remembered(self, raw: bytes) -> tuple[PredictionHead, int] | None:
        """Take in a head that is new in its length only, or parse it where more of it is."""
        start, end = length_at(raw)
        length = raw[start:end]
        if not length.isdigit() or len(length) > MAX_DIGITS or not raw.startswith(b"POST /"):
            return None
        if len(self._repeated) >= CAPACITY:
            self._forget()
        rest = raw[:start] + raw[end:]
        head = self._parsed.get(rest) or read_head(raw, snapshot=self._snapshot)
        if head is None:
            return None
        self._parsed[rest] = head
        found = self._repeated[raw] = head, int(length)
        return found

    def _forget(self) -> None:
        self._repeated.clear()
        self._parsed.clear()


def length_at(raw: bytes) -> tuple[int, int]:
    """Return where the length of the body begins and ends; an empty place where it isn't told."""
    for name in LENGTHS:
        before = raw.find(name)
        if before >= 0:
            start = before + len(name)
            return start, raw.find(b"\r", start)
    return 0, 0


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
        if name is None or not fields.measured():
            return None
        authorization = fields.values.get(b"authorization")
        application, until = _allowed(snapshot, name=name, authorization=authorization)
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeError, ClipperError):
        return None
    return PredictionHead(application, until, bool(parser.should_keep_alive()))


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

    def measured(self) -> bool:
        """Tell whether the body is as long as the one Content-Length says, and nothing else."""
        plain = self._plain and len(self.values) <= MAX_FIELDS
        return plain and self.values.get(b"content-length", b"").isdigit()
