"""UCB1: exact indices of its source, plain and discounted."""

import math

import pytest

from selection.policies import make_policy
from selection.policies.arithmetic.reward_variance import variance_ratios
from selection.policies.arithmetic.sums import State, learn
from selection.policies.rules.ucb1 import UCB1

ARMS = {"a:1": 1.0, "b:1": 1.0, "c:1": 1.0}
NOTHING = (0.0, 0.0, 0.0)
KNOWN = {"a:1": (10.0, 6.0, 6.0), "b:1": (2.0, 1.0, 1.0), "c:1": (4.0, 1.0, 1.0)}
# Auer, Cesa-Bianchi and Fischer 2002, figure 1.
ucb1 = make_policy("ucb1", {"exploration": math.sqrt(2), "floor": 0.0, "decay": 0.0})


def test_the_index_is_that_of_its_source() -> None:
    assert isinstance(ucb1, UCB1)
    assert ucb1.indices(KNOWN) == pytest.approx(
        {
            "a:1": 0.6 + math.sqrt(2 * math.log(16) / 10),
            "b:1": 0.5 + math.sqrt(2 * math.log(16) / 2),
            "c:1": 0.25 + math.sqrt(2 * math.log(16) / 4),
        }
    )


def test_arms_without_feedback_come_first_and_share() -> None:
    known = {"a:1": (9.0, 9.0, 9.0), "b:1": NOTHING, "c:1": NOTHING}
    assert ucb1.prepare(known, ARMS).probabilities == {"a:1": 0.0, "b:1": 0.5, "c:1": 0.5}


def test_where_counts_fade_it_is_discounted_ucb() -> None:
    """Garivier and Moulines 2011, algorithm 1: padding 2 B sqrt(xi log n_t / N_t), with B = 1."""
    gamma, xi = 0.9, 0.6
    policy = make_policy("ucb1", {"exploration": 2 * math.sqrt(xi), "decay": 1 - gamma})
    history = [("a:1", 1.0), ("b:1", 0.0), ("c:1", 1.0), ("a:1", 0.0), ("b:1", 1.0), ("a:1", 1.0)]
    state = State()
    for arm, reward in history:
        update = policy.update(arms=ARMS, losses={arm: 1.0 - reward}, propensities={arm: 1.0})
        state = learn(state, update)
    expected, counts = {}, {}
    for arm in ARMS:
        faded = [
            (gamma ** (len(history) - 1 - t), x) for t, (a, x) in enumerate(history) if a == arm
        ]
        counts[arm] = sum(g for g, _ in faded)
        expected[arm] = sum(g * x for g, x in faded) / counts[arm]
    n = sum(counts.values())
    for arm in ARMS:
        expected[arm] += 2 * math.sqrt(xi * math.log(n) / counts[arm])
    assert isinstance(policy, UCB1)
    assert policy.indices(state.of(policy.statistic)) == pytest.approx(expected)


def test_the_padding_is_as_wide_as_the_rewards_vary() -> None:
    graded = {"a:1": (10.0, 6.0, 3.8), "b:1": (2.0, 1.0, 0.52), "c:1": (4.0, 1.0, 0.3)}
    ratios = dict(zip(graded, variance_ratios(tuple(graded.values())), strict=True))
    assert isinstance(ucb1, UCB1)
    assert ucb1.indices(graded) == pytest.approx(
        {
            arm: rewards / n + math.sqrt(2 * ratios[arm] * math.log(16) / n)
            for arm, (n, rewards, _) in graded.items()
        }
    )


def test_less_than_one_observation_in_all_still_prefers_what_is_known_to_be_good() -> None:
    known = {"a:1": (0.2, 0.2, 0.2), "b:1": (0.3, 0.0, 0.0), "c:1": (0.1, 0.05, 0.03)}
    assert ucb1.prepare(known, ARMS).probabilities["a:1"] == 1.0
