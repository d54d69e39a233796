"""A replay is a fold over what was kept: without clock or Redis, in the order of counting."""

from __future__ import annotations

from typing import Any

from selection.feedback.rebuild.replay import KeptUpdate, Replay, Reset
from selection.policies import make_policy
from selection.policies.arithmetic.sums import LOG_WEIGHTS, REWARDS
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


def weights(replay: Replay, context: str = "") -> dict[str, float]:
    return {arm: w for arm, (w,) in replay.contexts[context].state.of(LOG_WEIGHTS).items()}


def test_a_context_learns_for_itself_and_everybody_learns_from_it() -> None:
    replay = replayed(observed(1), observed(2, {"knn:1": 1.0}, context="ann"), observed(3))
    assert weights(replay, "ann") == {"svm:1": 0.0, "knn:1": -0.3}
    assert weights(replay) == {"svm:1": -0.6, "knn:1": -0.3}
    everybody = replay.contexts[""]
    assert everybody.feedback == {"svm:1": 2, "knn:1": 1}
    assert (everybody.updated_at, everybody.position) == (3.0, 3)


def test_a_reset_forgets_what_came_before_it_and_nothing_else() -> None:
    entries: list[KeptUpdate | Reset] = [
        observed(1),
        observed(2, context="ann"),
        Reset(position=3, context="ann"),
    ]
    assert set(replayed(*entries).contexts) == {""}
    assert weights(replayed(*entries)) == {"svm:1": -0.6, "knn:1": 0.0}
    assert set(replayed(*entries, observed(4, context="ann")).contexts) == {"", "ann"}
    assert replayed(*entries, observed(4, context="ann")).contexts["ann"].feedback == {"svm:1": 1}


def test_a_context_that_gave_way_is_forgotten_just_before() -> None:
    replay = replayed(
        observed(1, context="ann"),
        observed(2, context="bob"),
        observed(3, context="ann", gone=("ann",)),
    )
    assert replay.contexts["ann"].feedback == {"svm:1": 1}
    assert set(replayed(observed(1, context="ann"), observed(2, gone=["ann"])).contexts) == {""}


def test_features_are_learned_from_again_and_others_than_the_policy_takes_are_not() -> None:
    policy = RandLinUCB(dimensions=2, decay=0.5)
    good = observed(1, features=(1.0, 0.5))
    replay = replayed(good, observed(2, features=(1.0,)), policy=policy)
    sums = replay.contexts[""].state
    assert sums.of(REWARDS)["svm:1"][0] == 1.5
    assert sums.of(policy.statistic)["svm:1"][:2] == (1.0, 0.0)
