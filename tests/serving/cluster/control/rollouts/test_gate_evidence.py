"""Counts become verdicts; queries or labels that stop hold a rollout with the reason."""

from typing import Any

import msgspec
import pytest

from registry.models.rollouts.rollout_plans import PLANS, GateRule, RolloutPlan
from selection.evaluation.gates.gate import GateVerdict
from serving.cluster.control.rollouts.gate_evidence import RolloutEvidence
from serving.cluster.control.rollouts.ruling import Judged
from serving.metrics.rollout_rows import (
    AGREEMENT,
    ERRORS,
    EVEN_CHANCE,
    GOOD,
    MOST_CLASSES,
    OTHERS,
    CanaryFailure,
    RolloutRow,
    StreamEntry,
)

QUICK, NAMES = PLANS["quick"], {1: "digits", 2: "letters"}


def row(gate: str, count: int = 1, *, canary: bool = True, **fields: Any) -> tuple[RolloutRow, int]:
    return RolloutRow(**{
        "rollout_id": 7, "application_id": 1, "gate": gate, "canary": canary, "chance": 0.1,
        **fields,
    }), count  # fmt: skip


class Counted:
    """Evidence of rollout 7, to which entries are written at times of the test's own."""

    def __init__(self, plan: RolloutPlan = QUICK, **fields: Any) -> None:
        self.plan = plan
        self.it = RolloutEvidence("0-0", **fields)

    def takes(self, *rows: tuple[RolloutRow, int], at: float = 100.0) -> None:
        entry = StreamEntry([*rows], [CanaryFailure(7, "digits", "[1]", "boom")], 0)
        self.it.take(entry, rollout_id=7, plan=self.plan, at=at)

    def judged(self, *, needs_labels: bool = True) -> dict[tuple[str, str], Judged]:
        found = self.it.judged(self.plan, names=NAMES, needs_labels=needs_labels)
        return {(one.gate, one.application): one for one in found}

    def faults(self, *, now: float, since: float = 0.0, gap_s: float | None = None) -> list[str]:
        return self.it.faults(self.plan, now=now, since=since, percent=10.0, label_gap_s=gap_s)


def test_a_version_proved_worse_in_one_application_is_named_there() -> None:
    counted = Counted()
    counted.takes(row(GOOD, 900, canary=False), row(GOOD, 100, application_id=2))
    assert ("errors", "digits") not in counted.judged()
    counted.takes(row(ERRORS, 4, loss=1.0))
    found = counted.judged()
    assert found["errors", "digits"].verdict == GateVerdict.WORSE
    assert "4 bad of 4 by the new version, 0 of 900" in found["errors", "digits"].words
    assert not any(application == "letters" for _, application in found)


def test_no_worse_is_of_all_applications_together() -> None:
    counted = Counted()
    for _ in range(40):
        counted.takes(row(GOOD, 90, canary=False), row(GOOD, 5), row(GOOD, 5, application_id=2))
    found = counted.judged()
    assert found["errors", ""].verdict == GateVerdict.NO_WORSE
    assert found["reward", ""].verdict == GateVerdict.OPEN
    assert ("reward", "") not in counted.judged(needs_labels=False)


def test_rows_of_other_rollouts_are_not_counted() -> None:
    counted = Counted()
    counted.takes(row(ERRORS, 9, loss=1.0, rollout_id=8))
    assert counted.it.calls.number == 0


def test_a_shadow_is_judged_by_what_it_alone_lost() -> None:
    counted = Counted()
    counted.takes(row(AGREEMENT, 40, canary=False), row("shadow errors", 40, canary=False))
    assert counted.it.answers.number == 40
    counted.takes(row("shadow reward", 12, loss=1.0, chance=EVEN_CHANCE))
    assert counted.judged()["shadow reward", "digits"].verdict == GateVerdict.WORSE
    summary = counted.it.summary([], waits="", plan=QUICK, names=NAMES)
    assert "40 answers compared, 0.0 % differ" in summary["shadow"]


def test_a_shadow_s_agreement_is_told_by_the_live_version_s_answer() -> None:
    counted = Counted()
    counted.takes(
        row(AGREEMENT, 60, canary=False, person='"cat"'),
        row(AGREEMENT, 20, loss=1.0, person='"cat"'),
        row(AGREEMENT, 90, canary=False, person='"dog"'),
        row(AGREEMENT, 5, loss=1.0, person=OTHERS),
    )
    summary = counted.it.summary([], waits="", plan=QUICK, names=NAMES)
    assert summary["classes"] == [
        ['"dog"', 90, "100.0 %"],
        ['"cat"', 80, "75.0 %"],
        [OTHERS, 5, "0.0 %"],
    ]
    # Of two hundred further answers most are none of the twenty: they are no classes.
    counted.takes(*(row(AGREEMENT, 9, canary=False, person=str(number)) for number in range(200)))
    assert len(counted.it.classes) == MOST_CLASSES
    assert counted.it.summary([], waits="", plan=QUICK, names=NAMES)["classes"] == []


def test_people_keep_no_step_waiting_for_what_only_half_of_them_can_prove() -> None:
    counted = Counted()
    counted.takes(*(row(GOOD, 9, person=name) for name in "abcdefgh"), row(GOOD, 9, person=OTHERS))
    found = counted.judged()["errors", ""]
    assert (found.verdict, found.always, found.wanted) == (GateVerdict.OPEN, False, True)


def test_of_people_the_first_failure_counts() -> None:
    counted = Counted()
    counted.takes(row(ERRORS, 500, loss=1.0, person="a"), row(GOOD, 900, person=OTHERS))
    assert ("errors", "digits") not in counted.judged()
    counted.takes(*(row(ERRORS, loss=1.0, person=name) for name in "bcdef"))
    assert counted.judged()["errors", "digits"].verdict == GateVerdict.WORSE


@pytest.mark.parametrize(
    ("rows", "now", "gap_s", "fault"),
    [
        ((), 46.0, None, "no traffic"),
        ((row(GOOD, 9, canary=False), row(GOOD)), 146.0, None, "no traffic"),
        ((row(GOOD, 90, canary=False),), 110.0, None, "no query reaches"),
        ((row(GOOD, 9, canary=False), row(GOOD)), 140.0, 1.0, "labels have stopped"),
        ((row(GOOD, 9, canary=False), row(GOOD)), 140.0, 60.0, ""),
        ((row(GOOD, person="a"),), 140.0, None, "too few people"),
    ],
)
def test_what_has_stopped_holds(
    rows: tuple[tuple[RolloutRow, int], ...], now: float, gap_s: float | None, fault: str
) -> None:
    counted = Counted()
    if rows:
        counted.takes(*rows)
    found = counted.faults(now=now, gap_s=gap_s)
    assert [fault in one for one in found] == ([True] if fault else [])


def test_a_metric_that_never_comes_holds() -> None:
    plan = msgspec.structs.replace(QUICK, gates={"clicks": GateRule()})
    counted = Counted(plan)
    counted.takes(row(GOOD, 9, canary=False), row(GOOD), row("reward", 3))
    assert counted.faults(now=130.0, since=60.0) == [
        "held: no feedback has brought the metric 'clicks'"
    ]
    counted.takes(row("metric clicks", 2))
    assert counted.faults(now=130.0, since=60.0) == []


def test_it_is_read_back_as_it_was() -> None:
    counted = Counted(shares=2)
    counted.takes(row(GOOD, 90, canary=False), row(ERRORS, 2, loss=1.0), row("reward", loss=0.25))
    text = msgspec.msgpack.encode(counted.it)
    again = msgspec.msgpack.decode(text, type=RolloutEvidence)
    assert msgspec.msgpack.encode(again) == text
    assert again.failures[0].error == "boom"


def test_a_gate_named_without_an_action_does_what_is_usual() -> None:
    rules = {name: GateRule(margin=2.0) for name in ("clicks", "memory", "errors")}
    plan = msgspec.structs.replace(QUICK, gates=rules)
    found = {name: plan.rule(name) for name in (*rules, "lateness")}
    assert {name: rule.action for name, rule in found.items()} == {
        "clicks": "hold", "memory": "tell", "errors": "roll back", "lateness": "roll back",
    }  # fmt: skip
    assert [rule.margin for rule in found.values()] == [2.0, 2.0, 2.0, QUICK.margin]


def test_a_replay_that_is_worse_is_shown_where_it_was() -> None:
    counted = Counted()
    counted.takes(row(GOOD, 9))
    judged = [Judged("replay", "digits", GateVerdict.WORSE, "hold", "replay in digits: worse")]
    shown = counted.it.summary(judged, waits="", plan=QUICK, names=NAMES)["gates"]
    found = [(one["gate"], one["application"]) for one in shown if one["verdict"] == "worse"]
    assert found == [("replay", "digits")]
