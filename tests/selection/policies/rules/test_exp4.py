"""Exp4: every arm is asked, every arm that answered learns from its own loss."""

import math

import pytest

from selection.context_names import GLOBAL_CONTEXT
from selection.policies import Selection, make_policy
from selection.policies.arithmetic.answer_sums import (
    ANSWERS,
    AnswerRecord,
    AnswerSeen,
    Promise,
    answer_sums,
)
from selection.policies.arithmetic.sums import State, Vector, learn, learn_in
from selection.policies.policy import Prepared
from selection.store.state_record import known_of, prepared

ARMS = {"a:1": 1.0, "b:1": 1.0}
EQUAL = {"a:1": (0.0, 0.0, 0.0), "b:1": (0.0, 0.0, 0.0)}
# 92 and 59 of 100 labels.
UNEQUAL = {"a:1": (100.0, 92.0, 92.0), "b:1": (100.0, 59.0, 59.0)}
exp4 = make_policy("exp4", {"eta": 0.1})


def sums(*answers: AnswerSeen) -> list[Vector]:
    state = State()
    for number, answer in enumerate(answers):
        update = exp4.update(losses={"a:1": 0.0}, propensities={}, at_ms=number, answer=answer)
        state = learn(state, update)
    return list(state.of(ANSWERS).values())


def judged(*answers: AnswerSeen) -> Prepared:
    return exp4.prepare(UNEQUAL, ARMS).judged_by(AnswerRecord.of(sums(*answers)))


def seen(by_odds: float, by_hedge: float) -> AnswerSeen:
    """A label that each of two ways to weigh arms got this right, and two values of classes."""
    return AnswerSeen((1.0, 1.0), (by_odds, by_hedge), (3, 4))


@pytest.mark.parametrize("uniform", [0.0, 0.5, 1 - 2**-53])
def test_every_arm_is_asked_every_time(uniform: float) -> None:
    assert exp4.prepare(EQUAL, ARMS).select(uniform) == Selection(("a:1", "b:1"), (1, 1))
    assert exp4.prepare(EQUAL, ARMS).probabilities == {"a:1": 1.0, "b:1": 1.0}


def test_before_the_first_label_all_arms_weigh_the_same_and_nothing_is_known() -> None:
    ready = prepared(exp4, State(), ARMS)
    assert ready.weights == {"a:1": 0.5, "b:1": 0.5}
    assert (ready.odds, ready.record) == ({}, None)


def test_arms_weigh_their_log_odds() -> None:
    assert judged(seen(1.0, 0.0)).weights == pytest.approx({"a:1": 0.867, "b:1": 0.133}, abs=1e-3)


def test_they_weigh_what_hedge_gives_them_if_that_was_right_more_often() -> None:
    assert judged(seen(0.0, 1.0)).weights == pytest.approx({"a:1": 0.962, "b:1": 0.038}, abs=1e-3)


def test_more_classes_make_an_arm_s_answer_weigh_more() -> None:
    many = [AnswerSeen((1.0, 1.0), (1.0, 1.0), (slot,)) for slot in range(10)]
    two, ten = judged(seen(1.0, 1.0)), judged(*many)
    assert ten.record is not None
    assert ten.record.classes == pytest.approx(10, abs=2)
    assert all(ten.odds[arm] > two.odds[arm] for arm in ARMS)


def test_an_arm_that_is_worse_than_chance_has_no_vote() -> None:
    ready = exp4.prepare({**UNEQUAL, "b:1": (100.0, 30.0, 30.0)}, ARMS)
    assert ready.judged_by(AnswerRecord.of(sums(seen(1.0, 0.0)))).odds["b:1"] == 0.0


def test_each_arm_that_answered_moves_by_its_loss() -> None:
    update = exp4.update(losses={"a:1": 1.0, "b:1": 0.25}, propensities={"a:1": 1e-9, "b:1": 1.0})
    assert update.deltas[exp4.statistic] == {"a:1": (1.0, 0.0, 0.0), "b:1": (1.0, 0.75, 0.5625)}


def test_arms_take_turns_to_carry_what_is_known_of_answers() -> None:
    carriers = [
        next(iter(answer_sums(seen(1.0, 1.0), observed=("a:1", "b:1"), at_ms=at)))
        for at in range(4)
    ]
    assert carriers == ["a:1", "b:1", "a:1", "b:1"]


def test_what_is_promised_of_a_new_version_is_to_be_proved_by_its_own_answers() -> None:
    state, promise = State(), Promise(0.05, 0.95)
    for number in range(800):
        update = exp4.update(
            losses={"a:1": 0.0},
            propensities={},
            at_ms=number,
            answer=AnswerSeen((8.0, 8.0), (1.0, 1.0), (3, 4)),
        )
        state = learn(state, update)
    old, new = (prepared(exp4, state, {arm: 1.0}, promise=promise).record for arm in ("a:1", "a:2"))
    assert old is not None
    assert new is not None
    assert old.lowest_margin <= 8.0
    assert new.lowest_margin == math.inf


def test_a_new_context_trusts_arms_as_decidedly_as_everybody() -> None:
    """Seven of ten users write as one arm reads, the others as the other one does."""
    policy, states = make_policy("exp4", {}), dict[str, State]()
    for number in range(600):
        user = number % 100
        right, wrong = ("a:1", "b:1") if user % 10 < 7 else ("b:1", "a:1")
        update = policy.update(losses={right: 0.0, wrong: 1.0}, propensities={}, arms=ARMS)
        states |= learn_in(f"user {user}", update, states=states)
    everybody = states[GLOBAL_CONTEXT]
    trusted = policy.prepare(known_of(policy, everybody, ARMS), ARMS).weights["a:1"]
    begun = policy.prepare(known_of(policy, State(), ARMS, general=everybody), ARMS)
    assert trusted > 0.99
    assert begun.weights["a:1"] == pytest.approx(trusted, abs=0.01)
