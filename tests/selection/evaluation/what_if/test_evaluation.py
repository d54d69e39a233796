"""KeptFeedback feedback, read and evaluated: real rows, real Redis."""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any

import pytest

from core.errors import Saturated
from registry.models import Application
from selection.evaluation.logged import LoggedArm, LoggedQuery
from selection.evaluation.offpolicy.estimate import Method
from selection.evaluation.what_if.evaluation import TURN, Outlook, Result, what_if
from selection.evaluation.what_if.feedback_span import Span
from selection.evaluation.what_if.targets import WhatIfTarget
from selection.models import Feedback
from tests.selection.evaluation.offpolicy.logs import LABEL, answered, asked, logged_by
from tests.selection.evaluation.what_if.conftest import ARMS, NOON, keep, make_application

ACCURACIES = dict(zip(ARMS, (0.92, 0.85, 0.7), strict=True))


def ask(
    application: Application, *targets: WhatIfTarget, usual: bool = False, **span: Any
) -> list[Result]:
    return list(what_if(application, span=Span(**span), targets=targets, usual=usual).results)


def alone(*arms: str) -> Iterable[WhatIfTarget]:
    return (WhatIfTarget(arm=arm) for arm in arms)


def test_labelled_inputs_tell_each_arm_exactly_and_no_earnings(digits: Application) -> None:
    rows = [asked({"svm:1": 1.0, "forest:1": i % 2 * 1.0}, given=False) for i in range(60)]
    keep(digits, rows)
    span = Span(inputs=True)
    outlook = what_if(digits, span=span, targets=alone("svm:1", "forest:1"), usual=False)
    assert [one.estimate.best.value for one in outlook.results] == [1.0, 0.5]
    assert {one.estimate.method for one in outlook.results} == {Method.DIRECT}
    assert (outlook.earned.value, outlook.results[0].gain) == (None, None)


def test_labelled_inputs_and_queries_are_never_mixed(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 0.0, "forest:1": 0.0}, given=False) for _ in range(30)])
    assert (what_if(digits, span=Span()).rows, what_if(digits, span=Span()).others) == (0, True)
    keep(digits, [asked({"svm:1": 1.0})])
    queries = what_if(digits, span=Span(), targets=alone("svm:1"), usual=False)
    assert (queries.rows, queries.others, queries.inputs) == (1, True, False)
    assert queries.results[0].estimate.best.value == 1.0
    inputs = what_if(digits, span=Span(inputs=True))
    assert (inputs.rows, inputs.others, inputs.inputs) == (30, True, True)


def test_the_usual_targets_are_all_arms_and_policies_to_compare(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 1.0, "old:3": 0.0})])
    names = [found.target.name for found in ask(digits, usual=True)]
    assert names == [
        *(f"{arm} alone" for arm in (*ARMS, "old:3")),
        *("every version alike", "static: by route weight"),
        "exp3",
    ]


def test_earnings_of_ensembles_are_those_of_its_answers(db: None) -> None:
    digits = make_application(policy="exp4")
    log = logged_by("exp4", accuracies=ACCURACIES, queries=400, seed=8)
    keep(digits, log)
    outlook: Outlook = what_if(digits, span=Span())
    own = next(one for one in outlook.results if one.target.policy == "exp4")
    assert own.current
    assert own.estimate.best.value == pytest.approx(outlook.earned.value.value)
    assert own.gain.value == pytest.approx(0.0, abs=1e-12)
    assert 0 < outlook.earned.recombined < 400 == outlook.earned.rows


def test_a_reward_of_a_combined_answer_tells_nothing_of_single_arms(digits: Application) -> None:
    def rewarded(reward: float) -> LoggedQuery:
        arms = (LoggedArm(arm, 1.0, b"1", 1.0 - reward, reward) for arm in ARMS)
        return LoggedQuery(asked=tuple(arms), reward=reward, routed=ARMS)

    keep(digits, [rewarded(1.0), rewarded(0.5)])
    outlook = what_if(digits, span=Span())
    assert (outlook.rows, outlook.whole) == (0, 2)
    assert outlook.earned.value.value == pytest.approx(0.75)


def test_rewards_of_single_arms_are_their_own(digits: Application) -> None:
    same = {"svm:1": 1.0, "forest:1": 1.0}
    keep(digits, [asked(same), asked({"svm:1": 1.0, "forest:1": 0.0})], label="", reward=0.5)
    outlook = what_if(digits, span=Span(), targets=alone("forest:1"), usual=False)
    assert (outlook.rows, outlook.whole) == (2, 0)
    assert outlook.results[0].estimate.best.value == pytest.approx(0.5)


def test_an_arm_without_an_answer_earned_what_is_given_instead(db: None) -> None:
    digits = make_application(default_output=1, missing_loss=None)
    silent = LoggedArm("svm:1", 1.0, None, None, 0.0)
    keep(digits, [LoggedQuery(asked=(silent, answered("forest:1", reward=0.0)), label=LABEL)])
    (found,) = ask(digits, WhatIfTarget(arm="svm:1"))
    assert found.estimate.best.value == 1.0


def test_rows_period_and_context_narrow_what_is_looked_at(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 1.0}, context=c) for c in ("anna", "bert", "anna", "anna")])
    assert what_if(digits, span=Span(context="anna")).rows == 3
    assert what_if(digits, span=Span(since=NOON - timedelta(seconds=1))).rows == 2
    assert what_if(digits, span=Span(until=NOON)).rows == 3
    latest = what_if(digits, span=Span(rows=2))
    assert (latest.rows, latest.more) == (2, True)
    assert (latest.since, latest.until) == (NOON - timedelta(seconds=1), NOON)
    assert not what_if(digits, span=Span(rows=4)).more


def test_feedback_is_taken_in_the_order_in_which_it_counted(digits: Application) -> None:
    rows = [asked({"svm:1": float(i)}) for i in (0, 1)]
    keep(digits, rows)
    first, second = Feedback.objects.order_by("pk")
    first.position, second.position = second.position, first.position
    Feedback.objects.bulk_update([first, second], ["position"])
    assert what_if(digits, span=Span(rows=1)).earned.value.value == 0.0


def test_a_policy_of_an_application_that_routes_nothing_has_nothing_to_choose(
    digits: Application,
) -> None:
    keep(digits, [asked({"svm:1": 1.0})])
    digits.routes.all().delete()
    (found,) = ask(digits, WhatIfTarget(policy="static"))
    assert found.estimate.explanation == "no arm is routed to choose from"
    assert [one.target.arm for one in ask(digits, usual=True)] == ["svm:1"]


def test_what_the_time_does_not_suffice_for_is_said_to_be_left_out(digits: Application) -> None:
    keep(digits, [asked({"svm:1": 1.0}, propensity=0.5, routed=ARMS) for _ in range(3000)])
    ticks = iter(range(10_000))
    outlook = what_if(digits, span=Span(), clock=lambda: float(next(ticks)))
    reasons = [one.estimate.explanation for one in outlook.results]
    assert "the time" not in reasons[0]
    assert "the time for this question was used up" in reasons[-1]


def test_one_question_is_worked_out_at_a_time(
    digits: Application, monkeypatch: pytest.MonkeyPatch
) -> None:
    acquire = TURN.acquire
    monkeypatch.setattr(TURN, "acquire", lambda timeout: acquire(blocking=False))
    refused: list[str] = []

    def clock() -> float:
        """Ask another one in the midst of the first."""
        with pytest.raises(Saturated) as refusal:
            what_if(digits, span=Span())
        refused.append(str(refusal.value))
        return 0.0

    assert what_if(digits, span=Span(), clock=clock).rows == 0
    assert set(refused) == {"Another what-if is being worked out; try again."}
    assert what_if(digits, span=Span()).rows == 0


def test_gains_of_one_answer_hold_all_at_once(digits: Application) -> None:
    rows = [asked({arm: float(i % n > 0) for n, arm in enumerate(ARMS, 2)}) for i in range(300)]
    keep(digits, rows)
    (lone,), several = ask(digits, *alone("svm:1")), ask(digits, usual=True)
    of_several = next(one for one in several if one.target == lone.target)
    assert of_several.gain.value == lone.gain.value
    assert of_several.gain.low < lone.gain.low < lone.gain.high < of_several.gain.high
