"""What went wrong lately in this process: each kind of failure once, with how often and when."""

from __future__ import annotations

import logging
import threading
import time

import msgspec

from serving.container.errors import explain
from serving.container.tracebacks import place_of, traceback_of

# Kinds of failures that are told apart between two looks.
MOST_KINDS = 20

logger = logging.getLogger(__name__)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure; of several the first is shown. Times are unix seconds."""

    kind: str
    error: str
    traceback: str
    count: int
    last_at: float


class RecentFailures:
    """Notes failures, from the thread that asks the model, until another thread takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: dict[str, Failure] = {}
        self._logged: set[str] = set()

    def note(self, error: BaseException) -> None:
        """Note what a model's code raised; rendered is only the first of its kind."""
        kind = place_of(error)
        if not self._count(kind):
            self._add(kind, error=explain(error), traceback=traceback_of(error))

    def note_message(self, message: str) -> None:
        """Note a failure of which there is no more than what was said."""
        if not self._count(message):
            self._add(message, error=message, traceback="")

    def take(self) -> list[Failure]:
        """Return what was noted since the last time."""
        with self._lock:
            kinds, self._kinds = self._kinds, {}
        return list(kinds.values())

    def _count(self, kind: str) -> bool:
        """Count one more of a kind that is there already."""
        with self._lock:
            known = self._kinds.get(kind)
            if known is not None:
                self._kinds[kind] = msgspec.structs.replace(
                    known, count=known.count + 1, last_at=time.time()
                )
            return known is not None

    def _add(self, kind: str, *, error: str, traceback: str) -> None:
        with self._lock:
            if len(self._kinds) >= MOST_KINDS:
                return  # as many kinds as that are noise
            self._kinds[kind] = Failure(
                kind=kind, error=error, traceback=traceback, count=1, last_at=time.time()
            )
        if kind not in self._logged and len(self._logged) < MOST_KINDS:
            self._logged.add(kind)
            logger.warning("model failed: %s", traceback or error)
