"""Means by arm beside the reward: answers in time, latency, metrics of feedback."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import msgspec

from selection.evaluation.counter_deltas import add_counts
from selection.evaluation.health.finding import Label
from selection.inference import ALPHA, Rewards, Seen, mean, mean_of
from selection.kinds import SAMPLING_CHANCE
from selection.policies.arithmetic.person_sums import NOBODY, People, count
from selection.policies.arithmetic.sums import groups_of
from selection.policies.policy import weight_of

# No metric that feedback names has a space in it.
ANSWERED = "answered in time"
LATENCY = "latency, ms"
LATENESS = "taken for lateness"
COST = "taken for cost"


class Guardrail(NamedTuple):
    """A mean over so many cases of an arm, if it can be by person.

    `low` and `high` are None where it has no bounds.
    """

    metric: str
    arm: str
    number: int
    mean: float
    low: float | None = None
    high: float | None = None


class Guardrails(msgspec.Struct):
    """Sums by arm: each metric's by person; calls asked and answered; calls, batches, their time.

    Times are in microseconds.
    """

    people: dict[str, People] = {}
    answered: dict[str, list[int]] = {}
    latency: dict[str, list[int]] = {}

    def note(self, label: Label, *, arms: Iterable[str]) -> None:
        """Take what feedback on an answer of one of the arms says of it, cut at 1."""
        weight = weight_of(label.propensity, overlap=label.overlap)
        # Few enough groups to be written down with each look.
        _, group = groups_of(label.key, context=label.context)
        group = group if group == NOBODY else group % 256
        for metric, number in label.metrics.items():
            # An application's further metrics are left out.
            if metric == SAMPLING_CHANCE:
                continue
            if label.arm is not None and (metric in self.people or len(self.people) < 16):
                known = self.people.get(metric, People())
                counts = {label.arm: (weight, weight * min(number, 1.0))}
                self.people[metric] = count(known, counts, routed=arms, group=group)

    def look(
        self, calls: Mapping[str, Sequence[int]], *, latency: Mapping[str, Sequence[int]]
    ) -> None:
        """Take what happened since the last look: calls asked and answered, and their latency."""
        answered = {arm: counts[:2] for arm, counts in calls.items()}
        self.answered = add_counts(self.answered, answered)
        self.latency = add_counts(self.latency, latency)

    def means(self, arms: Sequence[str]) -> Iterator[Guardrail]:
        """Yield what is known of these arms, metric by metric, those of feedback last."""
        alpha = ALPHA / len(arms) if arms else ALPHA
        for arm in arms:
            yield from self._latency_of(arm)
        for arm in arms:
            calls = Rewards(*self.answered.get(arm, (0, 0)))
            if (found := mean(calls, alpha=alpha)) is not None:
                yield Guardrail(ANSWERED, arm, round(calls.number), *found)
        for metric in sorted(self.people, key=lambda metric: (" " not in metric, metric)):
            for arm in arms:
                sums = self.people[metric].sums.get(arm, (0.0,) * 6)[:6]
                if (found := mean_of(Seen.of(*sums), alpha=alpha)) is not None:
                    yield Guardrail(metric, arm, round(sums[5]), *found)

    def _latency_of(self, arm: str) -> Iterator[Guardrail]:
        calls, queued_us, batches, batch_us = self.latency.get(arm, (0, 0, 0, 0))
        if calls and batches:
            yield Guardrail(LATENCY, arm, calls, (queued_us / calls + batch_us / batches) / 1e3)
