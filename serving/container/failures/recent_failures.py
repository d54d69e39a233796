"""Recent failures of this process: each kind once, with its count and last time."""

import logging
import threading
import time
from collections.abc import Callable

import msgspec

from serving.container.failures.container_errors import ContainerError, WarmUpFailed, explain
from serving.container.failures.tracebacks import (
    MOST_CHARACTERS,
    crash_in,
    innermost,
    place_of,
    traceback_of,
)
from serving.rpc.text import safe_text

# Kinds of failures that are distinguished between two reports.
MOST_KINDS = 20

logger = logging.getLogger(__name__)


class Failure(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of failure; of several the first is shown. Times are unix seconds."""

    kind: str
    error: str
    traceback: str = ""
    count: int = 1
    last_at: float = msgspec.field(default_factory=time.time)

    @property
    def summary(self) -> str:
        """The error and, where the model's own code raised it, where that was."""
        frames = innermost(self.traceback)
        error = safe_text(self.error, most=1000)
        return f"{error}\n\n{frames}" if frames else error


def failure_of(error: BaseException) -> Failure:
    """Return the failure of one exception; our own reasons stay as they are."""
    elsewhere = _reported_traceback(error)
    return Failure(
        kind=place_of(error),
        error=safe_text(str(error)) if isinstance(error, ContainerError) else explain(error),
        traceback=traceback_of(error) if elsewhere is None else _fit(elsewhere),
    )


def broken(reason: str, *, output: str) -> Failure:
    """The failure of a process that could not say itself what is wrong, and where it was."""
    where = crash_in(output)
    # Equal for equal faults.
    return Failure(kind=where or reason, error=reason, traceback=where)


def _of_another(reported: Failure) -> Failure:
    """Bound a failure that a model's process reported."""
    return Failure(
        kind=_fit(reported.kind),
        error=_fit(reported.error),
        traceback=_fit(reported.traceback),
        count=max(1, min(reported.count, 1 << 32)),
    )


def _fit(text: str) -> str:
    return safe_text(text, most=MOST_CHARACTERS)


def _reported_traceback(error: BaseException | None) -> str | None:
    """Return the traceback that was reported with an error or its cause, or None."""
    while isinstance(error, ContainerError):
        if error.reported_traceback is not None:
            return error.reported_traceback
        error = error.__cause__
    return None


class RecentFailures:
    """Notes failures, from the thread that asks the model, until another thread takes them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kinds: dict[str, Failure] = {}
        self._logged: set[str] = set()

    def note(self, error: BaseException) -> None:
        """Note an exception of a model's code; only the first of its kind is rendered."""
        self._note(place_of(error), lambda: failure_of(error))

    def note_message(self, message: str) -> None:
        """Note a failure without a traceback."""
        self._note(message, lambda: Failure(kind=message, error=message))

    def merge(self, failure: Failure) -> None:
        """Note what another process reported of its model."""
        failure = _of_another(failure)
        with self._lock:
            known = self._kinds.get(failure.kind)
            if known is not None:
                failure = msgspec.structs.replace(failure, count=known.count + failure.count)
            if known is not None or len(self._kinds) < MOST_KINDS:
                self._kinds[failure.kind] = failure

    def take(self) -> list[Failure]:
        """Return what was noted since the last time."""
        with self._lock:
            kinds, self._kinds = self._kinds, {}
        return list(kinds.values())

    def _note(self, kind: str, render: Callable[[], Failure]) -> None:
        """Count one more of a kind, if so many are still worth telling apart."""
        with self._lock:
            if (known := self._kinds.get(kind)) is not None:
                count, now = known.count + 1, time.time()
                self._kinds[kind] = msgspec.structs.replace(known, count=count, last_at=now)
            if known is not None or len(self._kinds) >= MOST_KINDS:
                return
        failure = render()
        with self._lock:
            self._kinds[kind] = failure
        if kind not in self._logged and len(self._logged) < MOST_KINDS:
            self._logged.add(kind)
            logger.warning("model failed: %s", failure.traceback or failure.error)


def with_last_traceback(error: WarmUpFailed, *, noted: RecentFailures) -> WarmUpFailed:
    """The error of a model that gave no answer, with the traceback of what was noted last."""
    failures = noted.take()
    error.reported_traceback = failures[-1].traceback if failures else ""
    return error
