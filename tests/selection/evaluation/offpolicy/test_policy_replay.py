"""Policies taken through logs, learning as they go."""

import numpy as np
import pytest

from selection.evaluation.logged import LoggedQuery
from selection.evaluation.offpolicy.estimate import Method, Proposal, estimate
from selection.evaluation.offpolicy.evidence import evidence_of
from selection.evaluation.offpolicy.intervals import Verdict
from selection.evaluation.offpolicy.log import Log, log_of
from selection.evaluation.offpolicy.policy_replay import (
    Candidate,
    average_proposals,
    learning,
)
from selection.policies import make_policy
from selection.policies.arithmetic.sums import State, learn
from selection.store.state_record import prepared
from tests.selection.evaluation.offpolicy.logs import (
    ANSWERING,
    answered,
    asked,
    candidate,
    logged_by,
)

ACCURACIES = {"best": 0.92, "good": 0.85, "fair": 0.7}


def uniforms(seed: int, n: int) -> list[float]:
    drawn: list[float] = np.random.default_rng(seed).random(n).tolist()
    return drawn


def proposed(log: Log, acting: Candidate) -> Proposal:
    return learning(log, acting, uniforms=[0.0] * len(log))


def test_an_ensemble_is_recombined_from_what_was_answered() -> None:
    rows = [asked({"a": 1.0, "b": 1.0, "c": 0.0}), asked({"a": 0.0, "b": 0.0, "c": 1.0})]
    log = log_of(rows)
    evenly = proposed(log, candidate("exp4", arms="abc"))
    assert evenly.answers.tolist() == [1.0, 0.0]
    assert estimate(evidence_of(log), evenly).method == Method.DIRECT


@pytest.mark.parametrize(
    "row",
    [
        asked({"a": 1.0}, propensity=0.5, routed="ab"),
        LoggedQuery(
            asked=(answered("a", reward=1.0), answered("b", reward=1.0)),
            routed=("a", "b"),
            reward=1.0,
        ),
    ],
)
def test_an_ensemble_cannot_be_judged_without_all_answers_and_a_label(row: LoggedQuery) -> None:
    found = estimate(
        evidence_of(log_of([row], arms="ab")),
        proposed(log_of([row], arms="ab"), candidate("exp4", arms="ab")),
    )
    assert (found.verdict, found.best) == (Verdict.NONE, None)
    assert "it asks several arms" in found.explanation


def test_a_policy_that_learns_over_all_answers_does_what_it_did() -> None:
    """Replaying exp4 over its own log gives every answer that it gave."""
    log = logged_by("exp4", accuracies=ACCURACIES, queries=300, seed=5)
    replayed = learning(log, candidate("exp4", arms=list(ACCURACIES)), uniforms=uniforms(0, 300))
    policy, state, given = make_policy("exp4", {}), State(), []
    for query in log.queries:
        ready = prepared(policy, state, dict.fromkeys(ACCURACIES, 1.0))
        given.append(ANSWERING.reward(query, asked=ready.selections[0].arms, weights=ready.weights))
        losses = {one.arm: one.loss for one in query.asked if one.loss is not None}
        ones = dict.fromkeys(losses, 1.0)
        state = learn(state, policy.update(arms=losses, losses=losses, propensities=ones))
    assert replayed.answers.tolist() == given
    assert replayed.trained_on == 300


@pytest.mark.parametrize(
    ("logging", "acting"),
    [
        ("exp3", "ucb1"),
        pytest.param("exp3", "exp3", marks=pytest.mark.long),
        pytest.param("static", "exp3", marks=pytest.mark.long),
    ],
)
def test_what_a_bandit_would_earn_is_told_from_another_bandits_log(
    logging: str, acting: str
) -> None:
    """A policy replayed over a log, against the same really run for as long as it could learn."""
    replayed, earned = [], []
    for seed in range(12):
        log = logged_by(logging, accuracies=ACCURACIES, queries=1500, seed=seed)
        proposal = learning(
            log, candidate(acting, arms=list(ACCURACIES)), uniforms=uniforms(seed, 1500)
        )
        assert proposal.trained_on is not None
        assert 50 < proposal.trained_on < 1200
        replayed.append(estimate(evidence_of(log), proposal).best.value)
        steps = proposal.trained_on
        live = logged_by(acting, accuracies=ACCURACIES, queries=steps, seed=100 + seed)
        earned.append(live.rewards.sum() / steps)
    assert np.mean(replayed) == pytest.approx(np.mean(earned), abs=0.02)


def test_what_chance_makes_of_a_policy_is_in_the_interval() -> None:
    log = logged_by("exp4", accuracies=ACCURACIES, queries=300, seed=3)
    acting, known = candidate("epsilon_greedy", arms=list(ACCURACIES)), evidence_of(log)
    times = [learning(log, acting, uniforms=uniforms(seed, 300)) for seed in range(4)]
    together = average_proposals(times, settled=known.settled)
    assert together.wander > 0.0
    assert together.trained_on == 300
    values = [estimate(known, proposal).best.value for proposal in times]
    found = estimate(known, together)
    assert found.best.value == pytest.approx(np.mean(values))
    assert found.precision.model_error >= np.var(values) / 2


def test_features_decide_where_the_policy_takes_them() -> None:
    """Each arm is right for its own kind of query: without features half is all there is."""
    rng = np.random.default_rng(0)
    rows = [
        asked({"a": float(x > 0), "b": float(x <= 0)}, features=(1.0, float(x)))
        for x in rng.normal(size=600)
    ]
    log = log_of(rows)
    contextual = candidate("auto", arms="ab", dimensions=2)
    found = estimate(evidence_of(log), learning(log, contextual, uniforms=uniforms(0, 600)))
    plain = estimate(
        evidence_of(log), learning(log, candidate("ucb1", arms="ab"), uniforms=uniforms(0, 600))
    )
    assert found.best.value > 0.9
    assert plain.best.value < 0.6


def test_a_long_replay_can_be_ended() -> None:
    class OutOfTime(Exception):
        pass

    def tick(calls: list[int] = []) -> None:  # noqa: B006  (counts)
        calls.append(1)
        if len(calls) == 3:
            raise OutOfTime

    log = log_of([asked({"a": 1.0}, propensity=0.5)] * (3 * 128), arms="ab")
    with pytest.raises(OutOfTime):
        learning(log, candidate("exp3", arms="ab"), uniforms=[0.5] * len(log), tick=tick)
