"""The heads of prediction requests: parsed once, and recognised by their bytes.

A head's application and key hold until one of the two changes.
"""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import time
from typing import Any

from core.errors import ClipperError
from core.specs import PREDICT, ApiKeySpec, ApplicationSpec, Snapshot
from serving.endpoints.key_access import application_named, key_of
from serving.endpoints.paths import application_to_predict
from serving.endpoints.person_pass import is_pass
from serving.endpoints.predictions.binary_inputs import is_binary
from serving.http.request import Request, request_id_in

# Heads of more different kinds are none that a program repeats.
CAPACITY = 4096
FOREVER = math.inf
# Fields that change how a body is to be read, or how a request goes on.
SPECIAL = frozenset((b"transfer-encoding", b"content-encoding", b"expect", b"origin"))
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
    """The head that a client repeats, but for the length of the body.

    Without a `key` the application is public. `checked` is the number of the last snapshot it was
    compared with.
    """

    application: ApplicationSpec
    key: ApiKeySpec | None
    allowed_until: float
    keep_alive: bool
    checked: int = 0

    def holds_in(self, snapshot: Snapshot) -> bool:
        """Return whether the application and the key are still what they were."""
        key = self.key
        return snapshot.applications.get(self.application.name) is self.application and (
            key is None or snapshot.keys.get(key.digest) is key
        )


KnownHead = tuple[PredictionHead, int, bytes]


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
        self._repeated: dict[bytes, KnownHead] = {}
        self._parsed: dict[bytes, PredictionHead] = {}

    @property
    def kept(self) -> int:
        """Return how many heads are remembered."""
        return len(self._repeated) + len(self._parsed)

    def find(self, raw: bytes) -> KnownHead | None:
        """Return a plain head for predictions whose key was checked, its length and id; or None."""
        snapshot = self._current()
        if snapshot is not self._snapshot:
            self._seen += 1
            self._snapshot = snapshot
        found = self._repeated.get(raw) or self._remembered(raw)
        if found is not None and found[0].checked != self._seen:
            found = self._checked(raw, found)
        if found is None:
            return None
        until = found[0].allowed_until
        return found if until is FOREVER or until > time() else None

    def _checked(self, raw: bytes, found: KnownHead) -> KnownHead | None:
        """Compare a head with the present registry, and parse it anew if it no longer holds."""
        head = found[0]
        if not head.holds_in(self._snapshot):
            fresh = read_head(raw, snapshot=self._snapshot)
            if fresh is None:
                return None
            head.application, head.key = fresh.application, fresh.key
            head.allowed_until = fresh.allowed_until
        head.checked = self._seen
        return found

    def _remembered(self, raw: bytes) -> KnownHead | None:
        """Take in a head that is new in its length or in what differs by design; parse others."""
        start, end = length_at(raw)
        length = raw[start:end]
        # A length of more digits is above any limit.
        if not length.isdigit() or len(length) > 12 or not raw.startswith(b"POST /"):
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
            _remember(self._parsed, common, head)
        found = head, int(length), request_id_in(raw)
        if found[1] > self._max_body_bytes:
            return None
        if repeats:
            _remember(self._repeated, raw, found)
        return found


def _remember(kept: dict[bytes, Any], head: bytes, what: Any) -> None:
    if len(kept) >= CAPACITY:
        kept.clear()
    kept[head] = what


def length_at(raw: bytes) -> tuple[int, int]:
    """Return where the length of the body begins and ends; an empty place without one."""
    for name in LENGTHS:
        before = raw.find(name)
        if before >= 0:
            start = before + len(name)
            return start, raw.find(b"\r", start)
    return 0, 0


def read_head(raw: bytes, *, snapshot: Snapshot) -> PredictionHead | None:
    """Parse a head, and check what it asks for; None unless that is as plain as can be."""
    try:
        request = Request(raw)
        values = dict(request.fields)
        plain = request.method == b"POST" and request.version == "1.1" and not request.has_offer
        # The answer to a page of another origin says if the page may read it.
        if not plain or len(values) < len(request.fields) or not SPECIAL.isdisjoint(values):
            return None
        if is_pass(values.get(b"authorization")):
            return None  # a trial, which is counted apart
        name = application_to_predict(request.path.decode("ascii"))
        if name is None or not values.get(b"content-length", b"").isdigit():
            return None
        key_in = partial(key_of, values.get(b"authorization"))
        application = application_named(snapshot, name=name, needs=PREDICT, key_in=key_in)
        key = None if application.public else key_in(snapshot)
    except ClipperError:
        return None
    content_type = values.get(b"content-type", b"")
    if is_binary(content_type, input_type=application.input_type):
        return None
    until = FOREVER if key is None or key.expires_at is None else key.expires_at
    return PredictionHead(application, key, until, request.keep_alive)
