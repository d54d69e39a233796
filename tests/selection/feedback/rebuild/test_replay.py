"""A replay is a fold over what was kept: without clock or Redis, in the order of counting."""

from typing import Any

from selection.feedback.rebuild.replay import KeptUpdate, Replay, Reset
from selection.policies import make_policy
from selection.policies.arithmetic.sums import REWARDS
from selection.policies.policy import Policy
from selection.policies.rules.rand_linucb import RandLinUCB

EXP4 = make_policy("exp4", {"eta": 0.3, "decay": 0.0})
ARMS = ("svm:1", "knn:1")


def observed(
    position: int, losses: dict[str, float] | None = None, *, context: str = "", **changes: Any
) -> KeptUpdate:
    losses = {"svm:1": 1.0} if losses is None else losses
    fields: dict[str, Any] = {
        "at": float(position),
        "propensities": dict.fromkeys(losses, 1.0),
        "routed": ARMS,
    }
    return KeptUpdate(position=position, context=context, losses=losses, **(fields | changes))


def replayed(*entries: KeptUpdate | Reset, policy: Policy = EXP4) -> Replay:
    replay = Replay(policy)
    replay.follow(entries)
    return replay


def test_features_are_learned_from_again_and_others_than_the_policy_takes_are_not() -> None:
    policy = RandLinUCB(dimensions=2, decay=0.5)
    good = observed(1, features=(1.0, 0.5))
    replay = replayed(good, observed(2, features=(1.0,)), policy=policy)
    sums = replay.contexts[""].state
    assert sums.of(REWARDS)["svm:1"][0] == 1.5
    assert sums.of(policy.statistic)["svm:1"][:2] == (1.0, 0.0)
