"""Processes that count the queries of one application, and its history."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import msgspec

from registry import services
from serving.metrics.outcomes import QueryEnding
from serving.metrics.published import ApplicationStats, Metrics
from serving.traffic.merging import merge

NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
SLO_MS = 50.0
CAUSES = {
    QueryEnding.TIMED_OUT: "late",
    QueryEnding.FAILED: "failed",
    QueryEnding.REFUSED: "refused",
    QueryEnding.NO_REPLICA: "no_replica",
    QueryEnding.ABSTAINED: "abstained",
}


DEFAULTS = {
    3: QueryEnding.TIMED_OUT,
    4: QueryEnding.ABSTAINED,
    5: QueryEnding.FAILED,
    19: QueryEnding.ABSTAINED,
}
ERRORS = {6: QueryEnding.NO_REPLICA, 7: QueryEnding.REFUSED, 8: QueryEnding.INVALID}


class Counted:
    """An application, the processes that answer it, and what they answered."""

    def __init__(self, name: str = "digits") -> None:
        self.name, self.now = name, NOON
        self.application = services.create_application(
            name=name, input_type="doubles", slo_ms=SLO_MS, by=services.SYSTEM
        )
        self.seen: Counter[str] = Counter()
        self.processes: list[Metrics] = []
        self.started = 0

    def start(self) -> Metrics:
        self.started += 1
        process = Metrics(process_id=f"{self.started}-abc", pid=self.started)
        self.processes.append(process)
        return process

    def answer(
        self,
        process: Metrics,
        *,
        seconds: float = 0.01,
        default: QueryEnding | None = None,
        error: QueryEnding | None = None,
        arms: tuple[str, ...] = ("svm:1",),
    ) -> None:
        stats = process.of_application(self.name)
        late = seconds * 1e3 > SLO_MS
        if error is not None:
            stats.fail(arms, error)
            outcome = "invalid" if error is QueryEnding.INVALID else CAUSES[error]
        else:
            stats.record(arms, seconds=seconds, slo_ms=SLO_MS, default=default)
            bad = default is not None and default is not QueryEnding.ABSTAINED
            outcome = CAUSES[default] if bad and default else "late" if late else "good"
            if default is QueryEnding.ABSTAINED and not late:
                self.seen["abstained"] += 1
        self.seen[outcome] += 1

    def answer_any(self, process: Metrics, *, number: int, random: Random) -> None:
        """Answer so many queries in all the ways that there are."""
        stats = process.of_application(self.name)
        ways = [self._way(stats, draw) for draw in range(20)]
        drawn = random.choices(range(20), k=number)
        for draw in drawn:
            ways[draw][0]()
        for draw, times in Counter(drawn).items():
            self.seen.update(dict.fromkeys(ways[draw][1], times))

    def _way(
        self, stats: ApplicationStats, draw: int
    ) -> tuple[Callable[[], None], tuple[str, ...]]:
        """Return how to count a query, and its outcomes."""
        arms = (("svm:1",), ("svm:1", "mlp:2"), ())[draw % 3]
        seconds = 0.001 * (1 + draw * draw // 6)
        if draw in ERRORS:
            outcome = CAUSES.get(ERRORS[draw], "invalid")
            return partial(stats.fail, arms, ERRORS[draw]), (outcome,)
        default = DEFAULTS.get(draw)
        record = partial(stats.record, arms, seconds=seconds, slo_ms=SLO_MS, default=default)
        if default is None or default is QueryEnding.ABSTAINED:
            if seconds * 1e3 > SLO_MS:
                return record, ("late",)
            return record, ("good",) if default is None else ("good", "abstained")
        return record, (CAUSES[default],)

    def documents(self, **options: Any) -> list[dict[str, Any]]:
        """Return what the processes publish, as it comes out of Redis."""
        traffic = [process.traffic(**options) for process in self.processes]
        return [msgspec.json.decode(msgspec.json.encode(document)) for document in traffic]

    def merge(self, *, after_s: float = 2.0, **options: Any) -> int:
        self.now += timedelta(seconds=after_s)
        return merge(self.documents(), now=self.now, **options)
