"""Learning policies leave bad arms soon, and find the best one again after it failed."""

from __future__ import annotations

import random
from itertools import islice
from random import Random

import pytest

from selection.policies import Policy, make_policy
from selection.policies.arithmetic.sums import State, join_all, learn
from selection.policies.policy import Prepared
from tests.long import beginning_of
from tests.selection.simulation import BEST, WRONG, Step, failing_best, play, summed_up

ARMS = dict.fromkeys(WRONG, 1.0)
LABELS = 1000
DELAY = 50  # labels come in batches: a state is that much behind
BANDITS = ["epsilon_greedy", "ucb1", "thompson", "exp3"]


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


def test_exp3_leaves_it_too_where_what_it_learned_fades() -> None:
    runs = [learned("exp3", seed=seed) for seed in range(20)]
    worst = [weights["e:1"] for weights, _ in runs]
    assert sum(worst) / len(worst) < 0.05
    assert max(worst) < 0.15  # luck moves it a little for ever
    assert all(weights["a:1"] + weights["b:1"] > 0.5 for weights, _ in runs)
    assert all(error < 0.16 for _, error in runs)


@pytest.mark.parametrize("seed", beginning_of(range(20), rows=4))
def test_exp4_trusts_the_best_arm(seed: int) -> None:
    weights, error = learned("exp4", seed=seed)
    assert weights["e:1"] < 1e-9
    assert weights["a:1"] > 0.9
    assert error < 0.13


@pytest.mark.parametrize("seed", beginning_of(range(5), rows=2))
@pytest.mark.parametrize("name", ["epsilon_greedy", "ucb1", "thompson"])
def test_bandits_over_mean_rewards_beat_chance_by_far(name: str, seed: int) -> None:
    _, error = learned(name, seed=seed)
    assert error < 0.16


@pytest.mark.parametrize("name", beginning_of(["exp3", "exp4"], rows=1))
def test_a_failed_arm_loses_its_traffic_and_a_mended_one_gets_it_back(name: str) -> None:
    run = summed_up(list(play(make_policy(name, {}), seed=1)))
    assert run.left is not None
    assert run.left <= 1000
    assert run.back is not None
    assert run.back <= 2000
    assert run.error < 0.145  # the best single arm errs in 0.151


@pytest.mark.parametrize("name", beginning_of(["thompson", "ucb1", "epsilon_greedy"], rows=1))
def test_so_it_does_where_the_failure_is_shorter(name: str) -> None:
    times = {"fails_at": 1000, "mended_at": 2000}
    world = failing_best(**times)
    steps = play(make_policy(name, {}), seed=1, queries=4000, world=world)
    run = summed_up(list(steps), **times)
    assert run.left is not None
    assert run.left <= 500
    assert run.back is not None


@pytest.mark.parametrize("name", beginning_of(["exp4", *BANDITS], rows=2))
def test_regret_against_the_best_arm_grows_ever_more_slowly(name: str) -> None:
    def world(query: int, luck: Random) -> dict[str, bool]:
        return {arm: luck.random() < wrong for arm, wrong in WRONG.items()}

    steps = list(play(make_policy(name, {}), seed=2, queries=4000, world=world))
    regret = [
        sum(part * WRONG[arm] for arm, part in step.part.items()) - WRONG[BEST] for step in steps
    ]
    assert sum(regret[2000:]) < sum(regret[:2000])
    assert sum(regret) / 4000 < 0.05  # asking at random: 0.146


def test_without_forgetting_exp4_does_not_return_to_a_mended_arm() -> None:
    run = summed_up(list(play(make_policy("exp4", {"decay": 0.0}), seed=1)))
    assert run.back is None


def test_a_run_depends_on_nothing_but_its_seed() -> None:
    def start(seed: int) -> list[Step]:
        return list(islice(play(make_policy("exp3", {}), seed=seed), 200))

    assert start(3) == start(3) != start(4)
