"""The checks of an experiment's health: what each looks at, and all of them together."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from selection.evaluation.health.delay import Delay
from selection.evaluation.health.drift import Drift
from selection.evaluation.health.exploration import Exploration
from selection.evaluation.health.exposure import Exposure
from selection.evaluation.health.finding import Finding, Label, not_applicable
from selection.evaluation.health.guardrails import Guardrails
from selection.evaluation.health.mismatch import Mismatch
from selection.evaluation.health.one_sided import OneSided
from selection.evaluation.health.silence import Silence
from selection.policies import Policy


class Words(NamedTuple):
    """The title of a check on a page, and its alarm in short."""

    title: str
    alarm: str


CHECKS = {
    "mismatch": Words("Labels by version", "labels depend on the version"),
    "exposure": Words("One version for a key", "keys are given to several versions"),
    "silence": Words("Labels keep coming", "labels have stopped"),
    "exploration": Words("Every version is tried", "a version is hardly tried"),
    "drift": Words("Versions agree as usual", "versions agree less, or more, than usual"),
    "one_sided": Words("Good answers are labelled too", "nearly all labels call answers bad"),
    "delay": Words("Labels in time", "labels come too late"),
}


class ExperimentSpec(NamedTuple):
    """A policy, and arms with their routes' weights, since a time; `silence_counts` as a reward.

    `chances` are those of each arm to be asked now.
    """

    policy: Policy
    weights: Mapping[str, float]
    chances: Mapping[str, float]
    since: float
    window_s: float
    silence_counts: bool

    @property
    def draws(self) -> bool:
        """True if a query asks one of several arms, drawn by chance."""
        return len(self.weights) > 1 and sum(self.chances.values()) < 1.0 + 1e-6


class Counted(NamedTuple):
    """Counts since the last look: calls by arm and their latency, and what web processes count.

    `compared`: answers compared with another arm's to the same query, and how many differed.
    `labelled`: labels, and the sum of their rewards.
    """

    calls: Mapping[str, Sequence[int]] = {}
    latency: Mapping[str, Sequence[int]] = {}
    too_late: int = 0
    queries: int = 0
    compared: Sequence[int] = (0, 0)
    labelled: Sequence[float] = (0.0, 0.0)


class HealthChecks(msgspec.Struct):
    """The bounded memory of all checks."""

    mismatch: Mismatch = msgspec.field(default_factory=Mismatch)
    exposure: Exposure = msgspec.field(default_factory=Exposure)
    silence: Silence = msgspec.field(default_factory=Silence)
    exploration: Exploration = msgspec.field(default_factory=Exploration)
    drift: Drift = msgspec.field(default_factory=Drift)
    one_sided: OneSided = msgspec.field(default_factory=OneSided)
    delay: Delay = msgspec.field(default_factory=Delay)
    guardrails: Guardrails = msgspec.field(default_factory=Guardrails)

    def begin_anew(self) -> None:
        """Another experiment has begun; how labels come is no matter of that."""
        self.mismatch, self.exposure, self.exploration = Mismatch(), Exposure(), Exploration()
        self.drift, self.one_sided = Drift(), OneSided()
        self.guardrails = Guardrails()

    def look(
        self, labels: Sequence[Label], counted: Counted, *, experiment: ExperimentSpec, now: float
    ) -> None:
        """Take what happened since the last look, in the order in which it came."""
        asked = {arm: counts[0] for arm, counts in counted.calls.items()}
        for label in labels:
            self._take(label, experiment=experiment)
        self.mismatch.look(now=now, window_s=experiment.window_s)
        self.silence.look(
            calls=sum(asked.values()),
            # A labelled input asks arms without being counted as a call.
            labels_at=[label.received_at for label in labels if label.awaited],
            now=now,
        )
        self.exploration.look(asked, chances=experiment.chances)
        self.guardrails.look(counted.calls, latency=counted.latency)
        if self.drift.has_become_usual(now):
            self.drift = Drift()
        self.drift.look(counted.compared, arms=len(experiment.weights), now=now)
        number, rewards = counted.labelled
        self.one_sided.look(queries=counted.queries, labels=number, rewards=rewards)
        self.delay.look(too_late=counted.too_late)

    def _take(self, label: Label, *, experiment: ExperimentSpec) -> None:
        if label.awaited:
            self.delay.note(label.received_at - label.issued_at)
        if label.arm is None or label.issued_at < experiment.since:
            return
        self.guardrails.note(label, arms=experiment.weights)
        kept = label.key or (label.context if experiment.policy.sticky else "")
        # One draw decided for all queries of whom is kept with an arm: it counts once.
        is_draw = not kept or self.exposure.note(kept, arm=label.arm)
        if is_draw and label.propensity < 1.0:
            self.mismatch.wait(
                label.arm,
                propensity=label.propensity,
                issued_at=label.issued_at,
                window_s=experiment.window_s,
            )

    def findings(self, *, experiment: ExperimentSpec, now: float) -> dict[str, Finding]:
        """Return how each of `CHECKS` stands."""
        policy, weights = experiment.policy, experiment.weights
        mismatch = exposure = exploration = _ONE_WAY
        if experiment.draws:
            mismatch = self.mismatch.finding(tuple(weights))
            exposure = self.exposure.finding(may_move=policy.learns)
            exploration = self.exploration.finding(policy, weights=weights)
        return {
            "mismatch": _SILENCE_COUNTS if experiment.silence_counts else mismatch,
            "exposure": exposure,
            "silence": self.silence.finding(now=now),
            "exploration": exploration,
            "drift": self.drift.finding(),
            "one_sided": _SILENCE_COUNTS if experiment.silence_counts else self.one_sided.finding(),
            "delay": self.delay.finding(window_s=experiment.window_s),
        }


_ONE_WAY = not_applicable("Every query asks all versions there are")
_SILENCE_COUNTS = not_applicable(
    "No label counts as a reward here, so labels may come more often of a better version"
)
