"""A replay learns from features again, as far as the policy takes them."""

from selection.feedback.rebuild.replay import KeptUpdate, Replay
from selection.policies.arithmetic.sums import REWARDS
from selection.policies.rules.rand_linucb import RandLinUCB


def test_features_are_learned_from_again_and_others_than_the_policy_takes_are_not() -> None:
    policy = RandLinUCB(dimensions=2, decay=0.5)
    replay = Replay(policy)
    replay.follow(
        KeptUpdate(
            position=position,
            at=float(position),
            context="",
            losses={"svm:1": 1.0},
            propensities={"svm:1": 1.0},
            routed=("svm:1", "knn:1"),
            features=features,
        )
        for position, features in ((1, (1.0, 0.5)), (2, (1.0,)))
    )
    sums = replay.contexts[""].state
    assert sums.of(REWARDS)["svm:1"][0] == 1.5
    assert sums.of(policy.statistic)["svm:1"][:2] == (1.0, 0.0)
