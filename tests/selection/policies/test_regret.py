"""Learning policies leave bad arms soon, and find the best one again after it failed."""

from __future__ import annotations

import random

import pytest

from selection.policies import Policy, make_policy
from selection.policies.arithmetic.sums import State, join_all, learn
from selection.policies.policy import Prepared
from tests.long import beginning_of
from tests.selection.simulation import WRONG, play, summed_up

ARMS = dict.fromkeys(WRONG, 1.0)
LABELS = 1000
DELAY = 50  # labels come in batches: a state is that much behind


def prepared(policy: Policy, state: State) -> Prepared:
    statistics = join_all(state, ARMS, statistics=policy.statistics, warm_start=policy.warm_start)
    return policy.prepare(statistics, ARMS)


def learned(name: str, *, seed: int, **params: float) -> tuple[dict[str, float], float]:
    """Return the weights after the labels, and the mean chance of being wrong on the way."""
    policy, luck = make_policy(name, params), random.Random(seed)
    state, errors = State(), 0.0
    for label in range(LABELS):
        if label % DELAY == 0:
            ready = prepared(policy, state)
        selection = ready.select(luck.random())
        shares = {arm: ready.weights[arm] for arm in selection.arms}
        errors += sum(WRONG[a] * s for a, s in shares.items()) / sum(shares.values())
        losses = {arm: float(luck.random() < WRONG[arm]) for arm in selection.arms}
        update = policy.update(
            arms=ARMS,
            losses=losses,
            propensities=dict(zip(selection.arms, selection.propensities, strict=True)),
        )
        state = learn(state, update)
    return dict(prepared(policy, state).weights), errors / LABELS


@pytest.mark.parametrize("seed", beginning_of(range(20), rows=4))
def test_exp3_leaves_the_worst_arm(seed: int) -> None:
    weights, error = learned("exp3", seed=seed, eta=0.1, decay=0.0)
    assert weights["e:1"] < 0.05
    assert weights["a:1"] + weights["b:1"] > 0.5
    assert error < 0.16  # asking at random errs in 0.226, the best arm in 0.08


@pytest.mark.parametrize("name", beginning_of(["exp3", "exp4"], rows=1))
def test_a_failed_arm_loses_its_traffic_and_a_mended_one_gets_it_back(name: str) -> None:
    run = summed_up(list(play(make_policy(name, {}), seed=1)))
    assert run.left is not None
    assert run.left <= 1000
    assert run.back is not None
    assert run.back <= 2000
    assert run.error < 0.145  # the best single arm errs in 0.151
