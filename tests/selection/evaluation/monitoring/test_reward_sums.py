"""Rewards that an application's answers earned, and those of each arm."""

from typing import Any

import pytest

from selection.evaluation.logged import AnswerRule, LoggedQuery, Outputs, logged
from selection.evaluation.monitoring.reward_sums import Trust, earned_by
from selection.rewards.losses import make_loss

ANY = Trust(weights={}, probabilities={})
VOTES = AnswerRule(loss=make_loss(), how="vote")


def arm(
    name: str, *, output: str | None, loss: float | None, propensity: float = 1.0
) -> dict[str, Any]:
    return {"arm": name, "propensity": propensity, "output": output, "loss": loss}


def logged_query(
    *arms: dict[str, Any],
    label: str | None = "7",
    reward: float | None = None,
    on_query: bool = True,
) -> LoggedQuery:
    """Return one piece of feedback as it is read back."""
    row = {
        "arms": arms,
        "label": label if reward is None else None,
        "reward": reward,
        "context": "",
        "key": "",
        "routed": ["a:1", "b:1", "c:1"],
        "features": [],
        "kind": "receipt" if on_query else "input",
        "defaulted": False,
    }
    query = logged(row, outputs=Outputs(), rule=VOTES)
    assert query is not None
    return query


def test_what_asking_took_goes_off_the_reward_of_the_answer() -> None:
    one = arm("a:1", output="7", loss=0.5) | {"lateness": 0.25, "cost": 0.125}
    other = arm("b:1", output="8", loss=0.5) | {"lateness": 0.5, "cost": 0.0}
    assert earned_by(logged_query(one, reward=0.75), trust=ANY, rule=VOTES) == 0.375
    assert earned_by(logged_query(one, other, reward=0.75), trust=ANY, rule=VOTES) == 0.125
    assert earned_by(logged_query(one, other, reward=0.5), trust=ANY, rule=VOTES) == 0.0


def test_a_vote_earned_what_the_answer_with_the_most_trust_did() -> None:
    arms = (
        arm("a:1", output="7", loss=0.0),
        arm("b:1", output="8", loss=1.0),
        arm("c:1", output="8.0", loss=1.0),
    )
    trusting_a = Trust(weights={"a:1": 0.6, "b:1": 0.2, "c:1": 0.2}, probabilities={})

    assert earned_by(logged_query(*arms), trust=trusting_a, rule=VOTES) == 1.0
    assert earned_by(logged_query(*arms), trust=ANY, rule=VOTES) == 0.0


def test_without_a_label_to_judge_the_answer_by_the_mean_by_trust_is_taken() -> None:
    arms = (arm("a:1", output="7.5", loss=0.5), arm("b:1", output="8", loss=1.0))
    trust = Trust(weights={"a:1": 0.75, "b:1": 0.25}, probabilities={})
    means = AnswerRule(loss=make_loss(combine="mean"), how="mean")

    query = logged_query(*arms, label=None)

    assert earned_by(query, trust=trust, rule=means) == pytest.approx(0.375)


def test_numbers_earned_what_their_combined_answer_did_and_not_what_they_did_on_average() -> None:
    arms = (arm("a:1", output="6.5", loss=0.5), arm("b:1", output="7.5", loss=0.5))
    means = AnswerRule(loss=make_loss(combine="mean"), how="mean")

    assert earned_by(logged_query(*arms), trust=ANY, rule=means) == 1.0


def test_an_answer_too_unsure_earned_what_the_default_output_did() -> None:
    arms = (arm("a:1", output="7", loss=0.0), arm("b:1", output="8", loss=1.0))
    cautious = AnswerRule(loss=make_loss(), threshold=0.9, default_output=b"-1")
    trust = Trust(weights={"a:1": 0.6, "b:1": 0.4}, probabilities={})

    assert earned_by(logged_query(*arms), trust=trust, rule=cautious) == 0.0


def test_a_labelled_input_earned_what_the_arms_that_would_have_been_asked_did() -> None:
    arms = (arm("a:1", output="7", loss=0.0), arm("b:1", output="8", loss=1.0))
    one = Trust(weights={}, probabilities={"a:1": 0.3, "b:1": 0.7})

    assert earned_by(logged_query(*arms, on_query=False), trust=one, rule=VOTES) == pytest.approx(
        0.3
    )
