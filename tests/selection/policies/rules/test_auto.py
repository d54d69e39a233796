"""Auto: the policy that fits what queries bring, and a sentence that says why."""

import pytest

from core.errors import BadRequest, InvalidPolicyParams
from selection.policies import CHOSEN_BY_AUTO, make_policy
from selection.policies.arithmetic.sums import State, Statistics, join_all, learn
from selection.policies.policy import Policy
from selection.policies.rules.adaptive_ucb import AdaptiveUCB
from selection.policies.rules.rand_linucb import RandLinUCB

ARMS = {"svm:1": 1.0, "knn:1": 1.0}
AUTO = make_policy("auto", {})
BY_FEATURES = make_policy("auto", {"dimensions": 2})


def after(policy: Policy, rewards: list[float], *, features: tuple[float, ...] = ()) -> Statistics:
    state = State()
    for reward in rewards:
        losses = {"svm:1": 1.0 - reward}
        update = policy.update(
            arms=ARMS, losses=losses, propensities={"svm:1": 0.5}, features=features
        )
        state = learn(state, update)
    return join_all(state, ARMS, statistics=policy.statistics, warm_start=policy.warm_start)


@pytest.mark.parametrize("rewards", [[], [1.0, 0.0, 1.0], [1.0] * 300 + [0.0] * 40])
def test_without_features_it_is_adaptive_ucb(rewards: list[float]) -> None:
    adaptive = AdaptiveUCB()
    assert after(AUTO, rewards) == after(adaptive, rewards)
    prepared = AUTO.prepare(after(AUTO, rewards), ARMS)
    assert prepared == adaptive.prepare(after(adaptive, rewards), ARMS)


def test_with_features_it_is_rand_linucb() -> None:
    linear = RandLinUCB(dimensions=2)
    known = after(BY_FEATURES, [1.0, 0.0], features=(0.5, -1.0))
    assert known == after(linear, [1.0, 0.0], features=(0.5, -1.0))
    asked = (BY_FEATURES.encode([0.5, -1.0]), linear.encode([0.5, -1.0]))
    chances = [
        policy.prepare(known, ARMS).chances(features)
        for policy, features in zip((BY_FEATURES, linear), asked, strict=True)
    ]
    assert chances[0] == chances[1]
    assert len(set(chances[0].values())) == 2


@pytest.mark.parametrize("name", CHOSEN_BY_AUTO)
def test_what_it_chooses_cannot_be_named(name: str) -> None:
    with pytest.raises(InvalidPolicyParams, match="'auto'"):
        make_policy(name, {})


def test_features_that_it_does_not_expect_are_refused() -> None:
    with pytest.raises(BadRequest, match="takes none while its parameter dimensions is 0"):
        AUTO.encode([1.0])
    with pytest.raises(BadRequest, match="array of 2"):
        BY_FEATURES.encode([1.0])


def test_and_of_which_versions_it_forgot_something() -> None:
    reason = AUTO.reason(after(AUTO, [1.0] * 300 + [0.0] * 60))
    assert "svm:1 (the last " in reason
    assert "knn:1" not in reason
