"""The heads of prediction requests: parsed once, recognised by their bytes ever after.

A client sends the same head with all of its requests, but for the length of the body. What follows
from it, the application and whether this key may ask it, holds until one of the two changes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Generic, TypeVar

import httptools

from core.errors import ClipperError
from core.specs import PREDICT, ApiKeySpec, ApplicationSpec, Snapshot
from serving.api.access import application_named, key_of
from serving.api.binary import is_binary
from serving.api.paths import application_to_predict
from serving.http.limits import MAX_FIELDS
from serving.http.request_id import request_id_in

# Heads of more different kinds are none that a program repeats.
CAPACITY = 4096
FOREVER = math.inf
# A body whose length has more digits is refused anyway.
MAX_DIGITS = 12
# Fields that are new with every request by design, and nothing to do with what is asked. One that
# goes on in the next line is left where it is.
UNIQUE = re.compile(
    rb"\r\n(?:traceparent|tracestate|baggage|b3|x-b3-[a-z]+|x-request-id|x-correlation-id|request-id"
    rb"|x-amzn-trace-id|x-cloud-trace-context|uber-trace-id|sentry-trace|x-datadog-[a-z-]+)"
    rb":[\t -~\x80-\xff]*(?=\r\n[^ \t])",
    re.IGNORECASE,
)
# All that differs between the requests of a client follows one of these.
LENGTHS = (b"\r\nContent-Length: ", b"\r\ncontent-length: ")


@dataclass(slots=True)
class PredictionHead:
    """What the heads of a client's requests have in common: who is asked, by which key (None: the
    application is public), until when that is good, and whether the connection goes on. Only the
    length of the body differs.

    `checked` says which of the snapshots that `Heads` has seen it was last compared with.
    """

    application: ApplicationSpec
    key: ApiKeySpec | None
    allowed_until: float
    keep_alive: bool
    checked: int = 0

    def holds_in(self, snapshot: Snapshot) -> bool:
        """Whether the application and the key are still what they were."""
        key = self.key
        return snapshot.applications.get(self.application.name) is self.application and (
            key is None or snapshot.keys.get(key.digest) is key
        )


Found = tuple[PredictionHead, int, bytes]
K = TypeVar("K")
V = TypeVar("V")


class Recent(Generic[K, V]):
    """What was used lately: of up to two generations, so that what comes once drives out nothing
    that comes again and again.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.young: dict[K, V] = {}
        self._old: dict[K, V] = {}

    def __len__(self) -> int:
        return len(self.young) + len(self._old)

    def get(self, key: K) -> V | None:
        found = self.young.get(key)
        if found is None:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def put(self, key: K, value: V) -> None:
        if len(self.young) >= self._capacity:
            self._old, self.young = self.young, {}
        self.young[key] = value


class Heads:
    """Remembers heads for as long as what follows from them holds."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], *, max_body_bytes: float = math.inf
    ) -> None:
        self._max_body_bytes = max_body_bytes
        self._current = snapshot
        self._snapshot = snapshot()
        # How many snapshots there have been: an old one is kept by nothing that is remembered.
        self._seen = 0
        # By all of their bytes, and by those without the digits of the length.
        self._repeated: Recent[bytes, Found] = Recent(CAPACITY)
        self._parsed: Recent[bytes, PredictionHead] = Recent(CAPACITY)

    @property
    def kept(self) -> int:
        """How many heads are remembered, by all of their bytes or without what differs."""
        return len(self._repeated) + len(self._parsed)

    def find(self, raw: bytes) -> Found | None:
        """Read a head that ends with its empty line, the length of its body in bytes and the
        request's id; None where it needs a closer look.

        That is any request but a plain POST for predictions of a known length by a key that may.
        """
        snapshot = self._current()
        if snapshot is not self._snapshot:
            self._seen += 1
            self._snapshot = snapshot
        found = self._repeated.young.get(raw) or self._remembered(raw)
        if found is not None and found[0].checked != self._seen:
            found = self._checked(raw, found)
        if found is None:
            return None
        until = found[0].allowed_until
        return found if until is FOREVER or until > time() else None

    def _checked(self, raw: bytes, found: Found) -> Found | None:
        """Compare a head with the registry of now; it is parsed anew where it no longer holds."""
        head = found[0]
        if not head.holds_in(self._snapshot):
            fresh = read_head(raw, snapshot=self._snapshot)
            if fresh is None:
                return None
            head.application, head.key = fresh.application, fresh.key
            head.allowed_until = fresh.allowed_until
        head.checked = self._seen
        return found

    def _remembered(self, raw: bytes) -> Found | None:
        """Take in a head that is new in its length only, or in what differs by design, or parse it
        where more of it is.
        """
        found = self._repeated.get(raw)
        if found is not None:
            return found
        start, end = length_at(raw)
        length = raw[start:end]
        if not length.isdigit() or len(length) > MAX_DIGITS or not raw.startswith(b"POST /"):
            return None
        rest = raw[:start] + raw[end:]
        head, repeats = self._parsed.get(rest), True
        if head is None:
            common = UNIQUE.sub(b"", rest)
            repeats = len(common) == len(rest)
            head = self._parsed.get(common)
        if head is None:
            head = read_head(raw, snapshot=self._snapshot)
            if head is None:
                return None
            head.checked = self._seen
            self._parsed.put(common, head)
        found = head, int(length), request_id_in(raw)
        if found[1] > self._max_body_bytes:
            return None
        if repeats:
            self._repeated.put(raw, found)
        return found


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
        # A page of another origin has to be told whether it may read the answer.
        if name is None or not fields.measured() or b"origin" in fields.values:
            return None
        authorization = fields.values.get(b"authorization")
        application, key = _allowed(snapshot, name=name, authorization=authorization)
        content_type = fields.values.get(b"content-type", b"")
        if is_binary(content_type, input_type=application.input_type):
            return None
    except (httptools.HttpParserError, httptools.HttpParserUpgrade, UnicodeError, ClipperError):
        return None
    until = FOREVER if key is None or key.expires_at is None else key.expires_at
    return PredictionHead(application, key, until, bool(parser.should_keep_alive()))


def _allowed(
    snapshot: Snapshot, *, name: str, authorization: bytes | None
) -> tuple[ApplicationSpec, ApiKeySpec | None]:
    """Return the application and the key that may ask it, where one is needed; raises where it may
    not.
    """
    key_in = partial(key_of, authorization)
    application = application_named(snapshot, name=name, needs=PREDICT, key_in=key_in)
    return application, None if application.public else key_in(snapshot)


# Fields that change how a body is to be read, or how a request goes on.
_SPECIAL = frozenset({b"transfer-encoding", b"content-encoding", b"expect", b"upgrade"})


class _Fields:
    """What httptools' parser finds in one head."""

    def __init__(self) -> None:
        self.url = b""
        self.values: dict[bytes, bytes] = {}
        self.complete = False
        self._plain = True

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        self._plain &= name not in _SPECIAL and name not in self.values
        self.values[name] = value

    def on_headers_complete(self) -> None:
        self.complete = True

    def measured(self) -> bool:
        """Tell whether the body is as long as the one Content-Length says, and nothing else."""
        plain = self._plain and len(self.values) <= MAX_FIELDS
        return plain and self.values.get(b"content-length", b"").isdigit()
