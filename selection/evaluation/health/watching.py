"""Keeps an application's checks up to date as its snapshots are taken, and reads how they stand."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any

import msgspec

from core.specs import ApplicationSpec
from registry.models import Application
from selection.evaluation import counter_deltas
from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Label
from selection.evaluation.health.guardrails import COST, LATENESS
from selection.evaluation.health.health_checks import CHECKS, Counted, ExperimentSpec, HealthChecks
from selection.evaluation.holdout import Holdout
from selection.kinds import DEFAULT, INPUT, RECEIPT
from selection.models import ExperimentHealth
from selection.policies import Policy, make_policy
from selection.policies.arithmetic.person_sums import SUMS_WIDTH

# The columns of a row of feedback that a check reads.
COLUMNS = ("issued_at", "received_at", "key", "metrics", "overlap")
# Names of counters that web processes keep of an application, beside those of its arms.
TOO_LATE, QUERIES, COMPARED = "too_late", "queries", "compared"


class Watch:
    """One look at one application: `see` each row of feedback, then `concluded`."""

    def __init__(
        self,
        application: ApplicationSpec,
        *,
        weights: Mapping[str, float],
        chances: Mapping[str, float],
        now: datetime,
    ) -> None:
        self._now = now
        self._labels: list[Label] = []
        rows = ExperimentHealth.objects.filter(application_id=application.id)
        self._row = rows.first() or ExperimentHealth(application_id=application.id)
        policy = make_policy(application.policy, application.policy_params)
        name = _name_of(application, policy=policy, weights=weights)
        self._checks = msgspec.convert(self._row.sums, HealthChecks, str_keys=True)
        if self._row.experiment != name:
            self._checks.begin_anew()
            self._row.experiment, self._row.since, self._row.holdout = name, now, {}
        self.holdout = Holdout(self._row.holdout)
        self._experiment = ExperimentSpec(
            policy=policy,
            weights=weights,
            chances=chances,
            # Web processes follow a change of arms, and queries of before are answered, by then.
            since=self._row.since.timestamp() + 10.0,
            window_s=application.feedback_window_s,
            silence_counts=application.default_reward is not None,
        )

    def see(self, row: Mapping[str, Any]) -> None:
        """Take a row of the feedback table, with its arms, kind, context and `COLUMNS`."""
        if row["kind"] == DEFAULT:
            return
        by_chance = row["kind"] == RECEIPT and not row["forced"] and len(row["arms"]) == 1
        asked: Mapping[str, Any] = row["arms"][0] if by_chance else {"arm": None, "propensity": 1.0}
        # What went off the reward of an arm, if its application sets a price.
        taken = {LATENESS: asked["lateness"], COST: asked["cost"]} if "lateness" in asked else {}
        self._labels.append(
            Label(
                arm=asked["arm"],
                propensity=asked["propensity"],
                key=row["key"],
                context=row["context"],
                issued_at=row["issued_at"].timestamp(),
                received_at=row["received_at"].timestamp(),
                metrics={**row["metrics"], **taken},
                awaited=row["kind"] != INPUT,
                overlap=row["overlap"],
            )
        )

    def concluded(
        self,
        *,
        counts: Mapping[str, counter_deltas.Counts],
        readings: counter_deltas.Readings,
        labelled: Sequence[float],
    ) -> ExperimentHealth:
        """Return the row to save.

        `counts` are calls by arm since the last look, `labelled` the labels and their rewards;
        `readings` have the counters of each process, and what it knows of the arms' latency.
        """
        row, now = self._row, self._now.timestamp()
        grown = counter_deltas.counted_since(row.readings, readings)
        counted = Counted(
            calls=counts,
            too_late=grown.pop(TOO_LATE, [0])[0],
            queries=grown.pop(QUERIES, [0])[0],
            compared=grown.pop(COMPARED, (0, 0)),
            latency=grown,
            labelled=labelled,
        )
        self._checks.look(self._labels, counted, experiment=self._experiment, now=now)
        findings = {}
        for name, finding in self._checks.findings(experiment=self._experiment, now=now).items():
            before = row.findings.get(name, {})
            lasts = before.get("state") == finding.state
            since = before["since"] if lasts else self._now.isoformat()
            findings[name] = {**finding._asdict(), "since": since}
        row.findings = findings
        means = self._checks.guardrails.means(tuple(self._experiment.weights))
        row.guardrails = [guardrail._asdict() for guardrail in means]
        row.sums = msgspec.to_builtins(self._checks, str_keys=True)
        row.readings = counter_deltas.keep_last_readings(row.readings, readings)
        row.holdout = self.holdout.stored
        row.at = self._now
        return row


def health_of(application: Application) -> dict[str, Any]:
    """Return how an application's checks stand, as JSON values."""
    row = ExperimentHealth.objects.filter(application=application).first()
    findings = row.findings if row is not None else {}
    checks = [{"check": name, **findings.get(name, _UNSEEN)} for name in CHECKS]
    return {
        "application": application.name,
        "state": overall(check["state"] for check in checks),
        "at": row.at.isoformat() if row is not None else None,
        "experiment_since": row.since.isoformat() if row is not None else None,
        "checks": checks,
        "guardrails": row.guardrails if row is not None else [],
    }


def all_findings() -> dict[str, dict[str, dict[str, Any]]]:
    """Return the findings of every application that was ever looked at, by check."""
    return dict(ExperimentHealth.objects.values_list("application__name", "findings"))


def all_alarms() -> dict[str, dict[str, bool]]:
    """Return of each of these whether it is an alarm."""
    return {
        application: {check: finding["state"] == ALARM for check, finding in findings.items()}
        for application, findings in all_findings().items()
    }


def overall(states: Iterable[str]) -> str:
    """Return the worst of some states; unknown where none is known."""
    found = set(states)
    return next((state for state in (ALARM, GOOD) if state in found), UNKNOWN)


_UNSEEN: dict[str, Any] = {
    "state": UNKNOWN,
    "value": None,
    "reason": "Nobody has looked yet: that happens every ten seconds while something changes",
    "since": None,
}


def _name_of(application: ApplicationSpec, *, policy: Policy, weights: Mapping[str, float]) -> str:
    """Return the name of what is tried out: another one where anything of it changed."""
    text = f"{policy!r} {sorted(weights.items())} {application.feedback_window_s}"
    if application.holdout_share:
        text += f" {application.holdout_share} {SUMS_WIDTH}"
    return blake2b(text.encode(), digest_size=16).hexdigest()
