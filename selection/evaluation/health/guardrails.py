"""Means by arm beside the reward: answers in time, latency, metrics of feedback."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from selection.evaluation.health.finding import Label
from selection.inference import ALPHA, Rewards, mean

# No metric that feedback names has a space in it.
ANSWERED = "answered in time"
LATENCY = "latency, ms"
LATENESS = "taken for lateness"
COST = "taken for cost"


class Guardrail(NamedTuple):
    """A mean over so many cases of an arm; `low` and `high` are None where it has no bounds."""

    metric: str
    arm: str
    number: int
    mean: float
    low: float | None = None
    high: float | None = None


class Guardrails(msgspec.Struct):
    """Sums by arm: the numbers of each metric; calls, batches, and the microseconds of both."""

    metrics: dict[str, dict[str, tuple[float, float]]] = {}
    latency: dict[str, tuple[int, ...]] = {}

    def note(self, label: Label) -> None:
        """Take what feedback on an answer of one arm says of it, cut at 1."""
        if label.arm is not None:
            for metric, number in label.metrics.items():
                self._add(metric, arm=label.arm, number=1, total=min(number, 1.0))

    def look(
        self, calls: Mapping[str, Sequence[int]], *, latency: Mapping[str, Sequence[int]]
    ) -> None:
        """Take what happened since the last look: calls asked and answered, and their latency."""
        for arm, (asked, answered, *_) in calls.items():
            self._add(ANSWERED, arm=arm, number=asked, total=answered)
        for arm, grown in latency.items():
            known = self.latency.get(arm, (0,) * len(grown))
            self.latency[arm] = tuple(a + b for a, b in zip(known, grown, strict=True))

    def _add(self, metric: str, *, arm: str, number: float, total: float) -> None:
        # An application's further metrics are left out.
        if metric not in self.metrics and len(self.metrics) == 16:
            return
        sums = self.metrics.setdefault(metric, {})
        known_number, known_total = sums.get(arm, (0.0, 0.0))
        sums[arm] = (known_number + number, known_total + total)

    def means(self, arms: Sequence[str]) -> Iterator[Guardrail]:
        """Yield what is known of these arms, metric by metric, those of feedback last."""
        for arm in arms:
            yield from self._latency_of(arm)
        for metric in sorted(self.metrics, key=lambda metric: (" " not in metric, metric)):
            sums = self.metrics[metric]
            for arm in arms:
                found = mean(Rewards(*sums.get(arm, (0.0, 0.0))), alpha=ALPHA / len(arms))
                if found is not None:
                    yield Guardrail(metric, arm, round(sums[arm][0]), *found)

    def _latency_of(self, arm: str) -> Iterator[Guardrail]:
        calls, queued_us, batches, batch_us = self.latency.get(arm, (0, 0, 0, 0))
        if calls and batches:
            yield Guardrail(LATENCY, arm, calls, (queued_us / calls + batch_us / batches) / 1e3)
