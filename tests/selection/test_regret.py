"""Both learning policies leave the worst arm within 1,000 labels, whatever the luck."""

from __future__ import annotations

import random

import pytest

from selection.policies import State, make_policy

WRONG = {"a:1": 0.08, "b:1": 0.15, "c:1": 0.20, "d:1": 0.30, "e:1": 0.40}
ARMS = dict.fromkeys(WRONG, 1.0)
LABELS = 1000
DELAY = 50  # labels come in batches: a state is that much behind


def learned(name: str, *, seed: int) -> tuple[dict[str, float], float]:
    """Return the weights after the labels, and the mean chance of being wrong on the way."""
    policy, luck = make_policy(name, {}), random.Random(seed)
    weights, errors = dict.fromkeys(ARMS, 0.0), 0.0
    for label in range(LABELS):
        if label % DELAY == 0:
            prepared = policy.prepare(State(dict(weights)), ARMS)
        selection = prepared.select(luck.random())
        shares = {arm: prepared.weights[arm] for arm in selection.arms}
        errors += sum(WRONG[a] * s for a, s in shares.items()) / sum(shares.values())
        losses = {arm: float(luck.random() < WRONG[arm]) for arm in selection.arms}
        propensities = dict(zip(selection.arms, selection.propensities, strict=True))
        deltas = policy.observe(losses=losses, propensities=propensities)
        for arm, delta in deltas.items():
            weights[arm] += delta
    return dict(policy.prepare(State(weights), ARMS).weights), errors / LABELS


@pytest.mark.parametrize("seed", range(20))
def test_exp3_leaves_the_worst_arm(seed):
    weights, error = learned("exp3", seed=seed)
    assert weights["e:1"] < 0.05
    assert weights["a:1"] + weights["b:1"] > 0.5
    assert error < 0.16  # asking at random errs in 0.226, the best arm in 0.08


@pytest.mark.parametrize("seed", range(20))
def test_exp4_trusts_the_best_arm(seed):
    weights, error = learned("exp4", seed=seed)
    assert weights["e:1"] < 1e-9
    assert weights["a:1"] > 0.9
    assert error < 0.13
