"""Figures 7, 8 and 10 on made-up answers: what counts as wrong, as lost, as back, as learned."""

from __future__ import annotations

import math

import numpy as np
import pytest

from benchmarks.learner import Learner
from benchmarks.paper import fig7, fig8, fig10
from benchmarks.paper.fig7 import Committee
from benchmarks.paper.fig8 import FAILING, Failure, Run
from benchmarks.paper.fig10 import Personal
from selection.policies import make_policy

ARMS = ("a:1", "b:1")


# A policy at work.


def test_a_learner_trusts_an_arm_less_by_the_policys_own_rule():
    learner = Learner(make_policy("exp4", {"eta": 0.5, "decay": 0.0}), arms=ARMS)
    learner.learn(learner.prepared.select(0.0), outputs={"a:1": b"1", "b:1": b"2"}, label=b"1")
    weights = learner.prepared.weights
    assert weights["b:1"] / weights["a:1"] == pytest.approx(math.exp(-0.5))


def test_a_learner_answers_by_the_weight_behind_each_output():
    learner = Learner(make_policy("exp4", {}), arms=("a:1", "b:1", "c:1"))
    outputs = {"a:1": b"1", "b:1": b"2", "c:1": b"2"}
    selection = learner.prepared.select(0.0)
    assert learner.answer(selection, outputs=outputs) == b"2"
    for _ in range(20):
        learner.learn(learner.prepared.select(0.0), outputs=outputs, label=b"1")
    assert learner.answer(selection, outputs=outputs) == b"1"


def test_a_context_starts_from_a_share_of_what_is_general():
    policy = make_policy("exp4", {"eta": 1.0, "decay": 0.0, "context_share": 0.25})
    general = Learner(policy, arms=ARMS)
    for _ in range(4):
        general.learn(general.prepared.select(0.0), outputs={"a:1": b"1", "b:1": b"2"}, label=b"1")
    weights = Learner(policy, arms=ARMS, general=general.state).prepared.weights
    assert weights["b:1"] / weights["a:1"] == pytest.approx(math.exp(-1.0))


# Figure 7.


def committee() -> Committee:
    """Four pictures of a 1: all three models right, two right, two wrong, all wrong."""
    predictions = {
        "x": np.array([1, 1, 7, 7]),
        "y": np.array([1, 1, 7, 7]),
        "z": np.array([1, 2, 1, 7]),
    }
    weights = dict.fromkeys(predictions, 1.0)
    return Committee(splits=[fig7.judge(predictions, labels=np.ones(4, int), weights=weights)])


def test_the_ensemble_and_its_parts_are_counted():
    result = committee()
    assert result.errors == {"x": 0.5, "y": 0.5, "z": 0.5}
    assert result.ensemble == 0.5
    assert (result.confident(3).error, result.confident(3).coverage) == (0.5, 0.5)
    assert (result.unsure(3).error, result.unsure(3).coverage) == (0.5, 0.5)
    assert result.confident(2).coverage == 1.0
    assert math.isnan(result.unsure(2).error)


def test_a_vote_follows_the_weights():
    predictions = {"x": np.array([1]), "y": np.array([7]), "z": np.array([7])}
    split = fig7.judge(predictions, labels=np.array([1]), weights={"x": 3.0, "y": 1.0, "z": 1.0})
    assert split.ensemble == 0.0
    assert [camp.asked for camp in split.camps] == [1, 0, 0]


def test_trust_is_nothing_for_a_coin_and_more_for_the_better():
    assert fig7.trust(0.5) == pytest.approx(0.0)
    assert fig7.trust(0.1) == pytest.approx(math.log(9.0))
    assert fig7.trust(0.0) < math.inf


# Figure 8.


def answers(queries: int) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """One model is right but in the middle third, one is wrong in every other query."""
    truth, third = np.ones(queries, int), queries // 3
    good, poor = truth.copy(), truth.copy()
    good[third : 2 * third] = 7
    poor[::2] = 7
    return {FAILING: good, "poor:1": poor}, truth


@pytest.mark.parametrize("name", fig8.POLICIES)
def test_a_policy_leaves_a_failed_model_and_returns_to_a_mended_one(name):
    predictions, truth = answers(6_000)
    run = fig8.learned(name, predictions, labels=truth, seed=1)
    result = Failure(plan=fig8.Plan(seeds=1, queries=6_000, fails=2_000, mended=4_000), runs=[run])
    assert len(run.share) == 6_000 // fig8.STEP
    assert run.share[19] > 0.9
    assert result.queries_until_lost(name) <= 500
    assert result.queries_until_back(name) <= 2_000
    assert run.error < 1 / 3


def run_of(name: str, *, errors: list[float], share: list[float] | None = None) -> Run:
    return Run(name=name, seed=0, errors=errors, share=share or [])


def test_a_share_is_lost_when_it_stays_low_and_not_when_it_dips():
    share = [0.9, 0.9, 0.1, *[0.9] * 6, *[0.1] * 10]
    plan = fig8.Plan(seeds=1, queries=1_900, fails=200, mended=1_900)
    result = Failure(plan=plan, runs=[run_of("exp3", errors=[0.0] * 19, share=share)])
    assert result.queries_until_lost("exp3") == 800
    assert result.queries_until_back("exp3") == math.inf


def test_a_policy_is_compared_with_the_best_model_of_its_run():
    runs = [run_of(model, errors=[0.4, 0.4]) for model in fig8.MODELS]
    runs[1] = run_of(list(fig8.MODELS)[1], errors=[0.1, 0.3])
    result = Failure(plan=fig8.FULL, runs=[*runs, run_of("exp3", errors=[0.1, 0.2])])
    assert result.against_the_best("exp3") == pytest.approx(0.75)
    assert run_of("exp3", errors=[0.1, 0.3]).so_far == pytest.approx([0.1, 0.2])


# Figure 10.


def personal(*learned: float) -> Personal:
    return Personal(users=8, everybody=0.3, own_dialect=0.1, learned=list(learned))


def test_feedbacks_are_needed_until_the_error_stays_below_that_for_everybody():
    assert personal(0.5, 0.4, 0.29, 0.2).feedbacks_needed == 2
    assert personal(0.5, 0.2, 0.31, 0.2).feedbacks_needed == 3
    assert personal(0.29, 0.2).feedbacks_needed == 0
    assert personal(0.5, 0.4).feedbacks_needed == math.inf


def test_users_are_told_apart_with_real_models():
    plan = fig10.Plan(splits=1, users=16, strangers=160, asked=10)
    result = fig10.personal(plan)
    assert len(result.learned) == fig10.FEEDBACKS + 1
    assert result.own_dialect < result.everybody
    assert result.learned[-1] < result.learned[0]


def test_every_user_of_a_dialect_asks_in_that_dialect():
    first = fig10.spoken(fig10.halves(1)[1], 0, generator=np.random.default_rng(1))
    last = fig10.spoken(fig10.halves(1)[1], 7, generator=np.random.default_rng(1))
    assert not np.allclose(first.images, last.images)
    assert np.array_equal(first.labels, last.labels)
