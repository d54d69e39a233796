"""Evidence of one rollout: the sums of its gates, and what they say at a look."""

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import msgspec

from registry.models.rollouts.rollout import PASSING
from registry.models.rollouts.rollout_plans import DEFAULT_ACTIONS, RolloutPlan, SettledRule
from selection.evaluation.gates.among_failures import LabelRatio
from selection.evaluation.gates.by_person import EVEN, LEAST_PEOPLE, people_wanted
from selection.evaluation.gates.gate import Gate, GateSeen, GateVerdict
from selection.evaluation.gates.two_rates import KNOWN, Counts
from selection.feedback.intake.service import METRIC, REWARD
from selection.inference import ALPHA, Rewards, mean
from serving.cluster.control.rollouts.ruling import Judged
from serving.metrics.rollout_rows import (
    AGREEMENT,
    DROPPED,
    ERRORS,
    GOOD,
    LATENESS,
    MOST_CLASSES,
    NOISE,
    OTHERS,
    SHADOW,
    CanaryFailure,
    RolloutRow,
    StreamEntry,
)

LABELS = "labels"
LABELS_DIFFER = "labels: whether one comes depends on which version answered"
# Shares of the chance that a rollout of equal versions is ever stopped (`ALPHA`): errors, lateness,
# rewards, and everything else.
PARTS = 4
# Seconds without queries or labels, or this many of their mean gaps, after which they have stopped.
SILENT_S, SILENT_GAPS = 45.0, 20.0
POINTS_KEPT = 120
DESCRIBED = 20


class Arrivals(msgspec.Struct):
    """Observations of one kind: their number, and when the first and the last came (unix)."""

    number: int = 0
    first_at: float = 0.0
    last_at: float = 0.0

    def note(self, count: int, *, at: float) -> None:
        self.first_at = self.first_at or at
        self.number, self.last_at = self.number + count, at

    def has_stopped(self, *, now: float, since: float, gap_s: float = 0.0) -> bool:
        """Return whether none came for long beside how often they came; `gap_s`: before this."""
        if self.number > 1:
            gap_s = (self.last_at - self.first_at) / (self.number - 1)
        return now - max(self.last_at, since) > max(SILENT_S, SILENT_GAPS * gap_s)


class RolloutEvidence(msgspec.Struct):
    """All that was observed of a rollout, up to a `position` in the stream.

    `applications` are the gates by application, which find the version worse; `together` are those
    of all, which find it no worse. `shares` is among how many applications the chance of a false
    stop is divided.
    """

    position: str
    shares: int = 1
    # The gates besides errors, lateness and rewards: they share one part of that chance.
    others: int = 3
    # By application, the last labels of the live version before the rollout.
    known: dict[int, Counts] = {}
    applications: dict[int, dict[str, Gate]] = {}
    together: dict[str, Gate] = {}
    label_ratio: LabelRatio = msgspec.field(default_factory=LabelRatio)
    calls: Arrivals = msgspec.field(default_factory=Arrivals)
    answers: Arrivals = msgspec.field(default_factory=Arrivals)
    labels: Arrivals = msgspec.field(default_factory=Arrivals)
    # Answers of the canary when its step began, and the step.
    before_step: int = 0
    step: str = ""
    # Answers of shadows compared with the live version's, and how many differed.
    compared: dict[str, tuple[int, float]] = {}
    # The same by the live version's answer.
    classes: dict[str, tuple[int, float]] = {}
    failures: list[CanaryFailure] = []
    dropped: int = 0
    # The most bytes that a replica of the new version has taken, and one of the live version.
    memory: tuple[int, int] = (0, 0)
    # Times, and the evidence of each gate then, as powers of ten.
    history: list[tuple[float, dict[str, float]]] = []

    def take(self, entry: StreamEntry, *, rollout_id: int, plan: RolloutPlan, at: float) -> None:
        """Count an entry of the stream that was written at a time."""
        self.dropped += entry.dropped
        mine = [failure for failure in entry.failures if failure.rollout_id == rollout_id]
        self.failures = (self.failures + mine)[:DESCRIBED]
        drawn: defaultdict[tuple[int, str], list[GateSeen]] = defaultdict(list)
        for row, count in entry.rows:
            metric = row.gate.removeprefix(METRIC)
            # Only metrics that the plan names are gates: the chance of a false stop is theirs.
            if row.rollout_id != rollout_id or (metric != row.gate and metric not in plan.gates):
                continue
            for gate, seen in self._seen(row, count, at=at):
                if not row.person:
                    drawn[row.application_id, gate].append(seen)
                elif row.person != OTHERS or seen.loss:
                    for known in self._gates(row.application_id, gate, plan):
                        known.note_person(seen, person=row.person)
        for (application_id, gate), seen_of in drawn.items():
            for known in self._gates(application_id, gate, plan):
                known.note(*seen_of)

    def _seen(self, row: RolloutRow, count: int, *, at: float) -> Iterator[tuple[str, GateSeen]]:
        """Count a row, and return what it says to which gates."""
        seen = GateSeen(row.canary, row.chance, row.loss, count)
        if row.gate in (AGREEMENT, NOISE, DROPPED):
            compared, differed = self.compared.get(row.gate, (0, 0.0))
            self.compared[row.gate] = compared + count, differed + count * row.loss
            if row.gate == AGREEMENT:
                is_known = row.person in self.classes or len(self.classes) < MOST_CLASSES
                answer = row.person if row.person and is_known else OTHERS
                compared, differed = self.classes.get(answer, (0, 0.0))
                self.classes[answer] = compared + count, differed + count * row.loss
                self.calls.note(count, at=at)
                self.answers.note(count, at=at)
        elif row.gate in (GOOD, ERRORS, LATENESS):
            self.calls.note(count, at=at)
            if row.canary:
                self.answers.note(count, at=at)
            for gate in (ERRORS, LATENESS):
                yield gate, seen._replace(loss=float(row.gate == gate))
        else:
            if row.gate == REWARD:
                self.labels.note(count, at=at)
                if not row.person:
                    self.label_ratio.note(canary=row.canary, chance=row.chance, count=count)
            yield row.gate, seen

    def _gates(self, application_id: int, gate: str, plan: RolloutPlan) -> Iterator[Gate]:
        """Return the gate of an application, and the one of all; a shadow's is its own alone."""
        own = self.applications.setdefault(application_id, {})
        for gates in (own,) if gate.startswith(SHADOW) else (own, self.together):
            known = gates.get(gate)
            if known is None:
                margin = _rule(plan, gate).margin
                by_failures = gate in (ERRORS, LATENESS) or gate.startswith(SHADOW)
                known = Gate(margin=margin / 100.0, by_failures=by_failures)
                if gate == REWARD and gates is own and application_id in self.known:
                    known.known = self.known[application_id]
                gates[gate] = known
            yield known

    def begin_step(self, step: str) -> None:
        if self.step != step:
            self.step, self.before_step = step, self.answers.number

    @property
    def step_answers(self) -> int:
        return self.answers.number - self.before_step

    def judged(
        self, plan: RolloutPlan, *, names: Mapping[int, str], needs_labels: bool
    ) -> list[Judged]:
        """Return the verdicts: of each application on what is worse, of all on what is no worse."""
        found = [
            judged
            for application_id, gates in self.applications.items()
            for gate, known in gates.items()
            if (judged := self._if_worse(gate, known, names.get(application_id, "?"), plan))
        ]
        wanted = {ERRORS, LATENESS, *(METRIC + name for name in _metrics_of(plan))}
        wanted |= {REWARD} if needs_labels else set()
        for gate in sorted(wanted | self.together.keys()):
            rule, known = _rule(plan, gate), self.together.get(gate)
            # By person nothing tells that a version is no worse before it gets half of them.
            by_person = known is not None and known.people_in_canary is not None
            verdict = GateVerdict.OPEN if known is None else self._if_no_worse(known)
            found.append(
                Judged(
                    gate,
                    "",
                    verdict,
                    rule.action,
                    self._words(gate, known, verdict, margin=rule.margin),
                    wanted=gate in wanted,
                    always=gate in (ERRORS, LATENESS) and not by_person,
                )
            )
        if self._labels_differ:
            action = _rule(plan, LABELS).action
            found.append(Judged(LABELS, "", GateVerdict.WORSE, action, LABELS_DIFFER))
        return found

    @property
    def _labels_differ(self) -> bool:
        return self.label_ratio.log_evidence >= -math.log(self._alpha(LABELS))

    def _if_worse(
        self, gate: str, known: Gate, application: str, plan: RolloutPlan
    ) -> Judged | None:
        if known.verdict(alpha=self._alpha(gate)) != GateVerdict.WORSE:
            return None
        new, live = known.canary, known.live
        counts = (
            f"{new.bad:,.4g} lost by the new version alone, {live.bad:,.4g} by the live one alone, "
            f"of {new.number + live.number:,.0f} queries that both were asked"
            if gate.startswith(SHADOW)
            else f"{new.bad:,.4g} bad of {new.number:,.0f} by the new version, "
            f"{live.bad:,.4g} of {live.number:,.0f} by the live one"
        )
        words = f"{gate.removeprefix(METRIC)} in {application}: proved worse: {counts}"
        if gate == REWARD and self._labels_differ:
            words += f"; {LABELS_DIFFER}"
        return Judged(gate, application, GateVerdict.WORSE, _rule(plan, gate).action, words)

    def _if_no_worse(self, known: Gate) -> GateVerdict:
        verdict = known.verdict(alpha=ALPHA / PARTS)
        return GateVerdict.NO_WORSE if verdict == GateVerdict.NO_WORSE else GateVerdict.OPEN

    def _alpha(self, gate: str) -> float:
        share = 1 if gate in (ERRORS, LATENESS, REWARD) else self.others
        return ALPHA / PARTS / share / self.shares

    def _words(self, gate: str, known: Gate | None, verdict: GateVerdict, *, margin: float) -> str:
        name = gate.removeprefix(METRIC)
        if known is None:
            return f"{name}: nothing has come yet"
        if verdict == GateVerdict.NO_WORSE:
            return f"{name}: no worse by more than {margin:g} points"
        excluded = known.largest_loss_excluded()
        said = (
            "nothing is excluded yet"
            if excluded is None
            else (f"a loss above {excluded * 100:g} points is excluded, {margin:g} wanted")
        )
        return f"{name}: {said}{self._waiting_time(gate, known)}"

    def _waiting_time(self, gate: str, known: Gate) -> str:
        """Say how long the gate needs at today's rate, if that is known."""
        source = self.answers if gate in (ERRORS, LATENESS) else self.labels
        elapsed, wanted = source.last_at - source.first_at, known.calls_wanted()
        if not wanted or elapsed <= 0.0 or not known.canary.number:
            return ""
        hours = wanted / (known.canary.number / elapsed) / 3600.0
        span = f"{hours:.0f} h" if hours >= 1.5 else f"{max(1.0, hours * 60.0):.0f} min"
        return f"; at this rate about {span}"

    def faults(
        self,
        plan: RolloutPlan,
        *,
        now: float,
        since: float,
        percent: float,
        label_gap_s: float | None,
    ) -> list[str]:
        """Return why to hold for now; `label_gap_s`: seconds between labels before this, if any."""
        found = []
        if self.calls.has_stopped(now=now, since=since):
            found.append(PASSING + "no traffic")
        expected = (self.calls.number - self.answers.number) * percent / max(100.0 - percent, 1.0)
        if not self.answers.number and expected >= 10.0:
            found.append(PASSING + "no query reaches the new version")
        needs_labels = bool(percent) and label_gap_s is not None
        if needs_labels and self.labels.has_stopped(now=now, since=since, gap_s=label_gap_s or 0.0):
            found.append(PASSING + "labels have stopped")
        if percent and now - since > SILENT_S:
            found += [
                f"{PASSING}no feedback has brought the metric {name!r}"
                for name in _metrics_of(plan)
                if METRIC + name not in self.together
            ]
        errors = self.together.get(ERRORS)
        if percent and errors is not None and errors.people_in_canary is not None:
            chance = percent / 100.0
            wanted = LEAST_PEOPLE if chance >= EVEN else people_wanted(chance)
            if errors.people_in_canary < wanted and now - since > SILENT_S:
                found.append(
                    f"{PASSING}too few people: {errors.people_in_canary} of {wanted} who would "
                    "show that it fails"
                )
        return found

    def note_history(self, *, now: float) -> None:
        """Add a point to the evidence over time; half of the points go once there are many."""
        if self.history and now - self.history[-1][0] < 1.0:
            return
        point = {gate: _power(self._most(gate)) for gate in self.together}
        self.history.append((round(now, 1), point))
        if len(self.history) > POINTS_KEPT:
            self.history = self.history[::2]

    def _most(self, gate: str) -> float:
        """Return the most evidence against the version that any application has of a gate."""
        found = (gates[gate].log_evidence for gates in self.applications.values() if gate in gates)
        return max(found, default=0.0)

    def summary(
        self, judged: Collection[Judged], *, waits: str, plan: RolloutPlan, names: Mapping[int, str]
    ) -> dict[str, Any]:
        """Return what pages and the API show."""
        worse = {(one.gate, one.application) for one in judged if one.verdict == GateVerdict.WORSE}
        together = {one.gate: one for one in judged if not one.application}
        rows = []
        for key, gates in self.applications.items():
            name = names.get(key, "?")
            for gate, known in gates.items():
                rows.append(self._row(gate, known, name, plan, worse=(gate, name) in worse))
        for row in rows:
            whole = together.get(row["gate"])
            if whole is not None and row["verdict"] == GateVerdict.OPEN:
                row["verdict"], row["words"] = whole.verdict, whole.words
        shown = {(row["gate"], row["application"]) for row in rows}
        rows += [
            self._row(one.gate, Gate(margin=0.0, by_failures=True), one.application, plan)
            | {"verdict": one.verdict, "words": one.words, "canary": None, "live": None}
            for one in judged
            if one.gate not in self.together and (one.gate, one.application) not in shown
        ]
        return {
            "gates": rows,
            "waits": waits,
            "answers": self.answers.number,
            "step_answers": self.step_answers,
            "labels": self.labels.number,
            "shadow": self._shadow_words(),
            "classes": self._classes(),
            "dropped": self.dropped,
            "failures": [msgspec.structs.asdict(failure) for failure in self.failures],
            "history": self.history,
        }

    def _shadow_words(self) -> str:
        """Say how far the shadow agrees with the live version, "" if nothing was compared."""
        compared, differed = self.compared.get(AGREEMENT, (0, 0.0))
        lost, _ = self.compared.get(DROPPED, (0, 0.0))
        bound = mean(Rewards(compared, differed))
        if bound is None:
            return f"{lost:,} shadows found no room" if lost else ""
        again, noise = self.compared.get(NOISE, (0, 0.0))
        own = f"; the live version differs from itself in {noise / again:.1%}" if again else ""
        return (
            f"{compared:,} answers compared, {differed / compared:.1%} differ: more than "
            f"{bound.high:.1%} is excluded{own}"
            + (f"; {lost:,} shadows found no room" if lost else "")
        ).replace("%", " %")

    def _classes(self) -> list[list[Any]]:
        """Return the live version's answers, if they are few: how often each, how often shared."""
        others = self.classes.get(OTHERS, (0, 0.0))[0]
        if 2 * others > sum(number for number, _ in self.classes.values()):
            return []
        found = sorted(self.classes.items(), key=lambda each: (each[0] == OTHERS, -each[1][0]))
        return [[key, n, f"{1.0 - bad / n:.1%}".replace("%", " %")] for key, (n, bad) in found]

    def _row(
        self, gate: str, known: Gate, application: str, plan: RolloutPlan, *, worse: bool = False
    ) -> dict[str, Any]:
        rule, excluded = _rule(plan, gate), known.largest_loss_excluded()
        return {
            "name": gate.removeprefix(METRIC),
            "gate": gate,
            "application": application,
            "verdict": GateVerdict.WORSE if worse else GateVerdict.OPEN,
            "words": "",
            "action": rule.action,
            "margin": rule.margin,
            "canary": {"calls": known.canary.number, "bad": round(known.canary.bad, 2)},
            "live": {"calls": known.live.number, "bad": round(known.live.bad, 2)},
            # The chance of as much by luck is at most one in this power of ten.
            "evidence": _power(known.log_evidence),
            "excluded": None if excluded is None else excluded * 100.0,
        }


def _power(log_evidence: float) -> float:
    """Return evidence as a power of ten."""
    return round(log_evidence / math.log(10.0), 2)


def _metrics_of(plan: RolloutPlan) -> list[str]:
    """Return the metrics of feedback that a plan names."""
    return [gate for gate in plan.gates if gate not in DEFAULT_ACTIONS]


def _rule(plan: RolloutPlan, gate: str) -> SettledRule:
    return plan.rule(gate.removeprefix(SHADOW).removeprefix(METRIC))


def others_of(plan: RolloutPlan) -> int:
    """Return how many gates share the last part: of labels, shadows (two), metrics, a replay."""
    return 3 + len(_metrics_of(plan)) + plan.replay


def counts_of(losses: Iterable[float]) -> Counts:
    """Return the sums of the first losses, as many as count of those before a rollout."""
    counted = list(islice(losses, int(KNOWN)))
    return Counts(len(counted), sum(counted))
