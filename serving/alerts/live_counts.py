"""Growth of the counters that processes publish, look by look, where a minute is too late."""

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from selection.evaluation.counter_deltas import (
    Counts,
    Readings,
    add_counts,
    counted_since,
    keep_last_readings,
)
from serving.engine.stats import LATENCY_BOUNDS, quantile

# Counters of a query without a model's answer, and of a version's call that failed.
UNANSWERED = ("unconnected", "overloaded", "timed_out", "failed")
FAILED = ("failed", "lost", "quarantined")
# Counts of versions are those of the last minute; an outage without queries is forgotten later.
KEPT_S, QUIET_S = 60.0, 600.0


class LiveCounts:
    """Queries since a model last answered one, by application, and the last minute of versions."""

    def __init__(self) -> None:
        self._readings: Readings | None = None
        self._outages: dict[str, tuple[float, Counts]] = {}
        self._lately: deque[tuple[float, Mapping[str, Counts]]] = deque()

    def look(self, documents: Iterable[Mapping[str, Any]], *, now: float) -> None:
        """Take what processes have published by this monotonic time."""
        readings = _readings(documents)
        before, self._readings = self._readings, keep_last_readings(self._readings or {}, readings)
        # What was ever counted before the first look is no news.
        grown = counted_since(before, readings) if before is not None else {}
        self._lately.append((now, {name: counts for name, counts in grown.items() if ":" in name}))
        while self._lately[0][0] < now - KEPT_S:
            self._lately.popleft()
        for name in grown.keys() - self._lately[-1][1].keys():
            queries, defaults, *unanswered = grown[name]
            # Each unanswered one is a default, or an error, which is no query answered.
            if queries > min(defaults, sum(unanswered)):
                self._outages.pop(name, None)
            elif any(unanswered):
                known = {name: self._outages[name][1]} if name in self._outages else {}
                self._outages[name] = (now, add_counts(known, {name: unanswered})[name])

    def unanswered(self, application: str, *, now: float) -> dict[str, int]:
        """Return, by cause, the queries since a model last answered one."""
        at, counts = self._outages.get(application, (now, [0] * len(UNANSWERED)))
        return dict(zip(UNANSWERED, counts, strict=True)) if at > now - QUIET_S else {}

    def versions(self) -> dict[str, dict[str, Any]]:
        """Return the failed calls, calls and the median of model times of each version."""
        found = {}
        for arm, counts in add_counts(*(grown for _, grown in self._lately)).items():
            (calls, *failed), times = counts[: 1 + len(FAILED)], counts[1 + len(FAILED) :]
            # A few say little of a median.
            seconds = quantile(times, bounds=LATENCY_BOUNDS, q=0.5) if sum(times) >= 5 else None
            model_ms = None if seconds is None else seconds * 1e3
            found[arm] = {"failed": sum(failed), "calls": calls, "model_ms": model_ms}
        return found


def _readings(documents: Iterable[Mapping[str, Any]]) -> Readings:
    return {
        document["id"]: {
            name: [counts[counter] for counter in ("queries", "defaults", *UNANSWERED)]
            for name, counts in document["applications"].items()
        }
        | {
            arm: [
                counts["misses"] + counts["joined"],
                *(counts[counter] for counter in FAILED),
                *counts["model_seconds"]["counts"],
            ]
            for arm, counts in document["versions"].items()
        }
        for document in documents
    }
