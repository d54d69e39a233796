"""track_and_stop: exact chances, when it stops, what it proves, and that it reopens."""

import random

import pytest

from selection.inference import Rewards, confidence_in
from selection.policies import make_policy
from selection.policies.arithmetic.sums import (
    EVIDENCE,
    LATELY,
    State,
    Vector,
    evidence,
    join,
    learn,
)
from selection.policies.best_arm_proof import Recommendation, recommend
from selection.policies.policy import Prepared, Proof
from selection.policies.rules.track_and_stop import top_two

POLICY = make_policy("track_and_stop", {})
ARMS = {"knn:1": 1.0, "svm:1": 1.0}


def known(*, seen: float, right: float, changes: float = 0.0, since: float = 0.0) -> Vector:
    return (seen, right, 0.0, 0.0, changes, since)


def learned(state: State, arm: str, reward: float, *, at_ms: int = 0) -> State:
    losses = {arm: 1.0 - reward}
    return learn(
        state,
        POLICY.update(arms=ARMS, losses=losses, propensities={arm: 0.5}, at_ms=at_ms),
    )


def applied(state: State) -> Prepared:
    return POLICY.prepare(join(state, ARMS, statistic=EVIDENCE, warm_start=POLICY.warm_start), ARMS)


def recommended(state: State) -> Recommendation:
    found = recommend(
        join(state, ARMS, statistic=EVIDENCE, warm_start=POLICY.warm_start), proof=POLICY.proof
    )
    assert found is not None
    return found


def test_the_chances_of_top_two_sampling_are_those_of_drawing_until_another_comes() -> None:
    # 0.6 (1/2 + 1/2 (0.3/0.7 + 0.1/0.9)), and so on: Russo (2016), section 3.
    chances = top_two({"a": 0.6, "b": 0.3, "c": 0.1})

    assert chances == pytest.approx({"a": 97 / 210, "b": 47 / 120, "c": 41 / 280})
    assert sum(chances.values()) == pytest.approx(1.0)
    assert top_two({"a": 1.0, "b": 0.0}) == pytest.approx({"a": 1.0, "b": 0.0})


def test_what_is_proved_gets_all_but_the_floor() -> None:
    ready = POLICY.prepare(
        {
            "a:1": known(seen=200, right=190),
            "b:1": known(seen=200, right=120),
            "c:1": known(seen=200, right=100),
        },
        ARMS,
    )

    assert ready.probabilities == pytest.approx({"a:1": 0.98 + 0.02 / 3, **_floor("b:1", "c:1")})
    assert ready.weights["a:1"] == pytest.approx(1.0)


def _floor(*arms: str) -> dict[str, float]:
    return dict.fromkeys(arms, 0.02 / 3)


def test_evidence_never_fades_and_knows_since_when_it_counts() -> None:
    state = State()
    for number in range(3):
        state = learned(state, "svm:1", 1.0, at_ms=1_000 + number)

    assert state.of(EVIDENCE)["svm:1"] == pytest.approx(
        (3.0, 3.0, 1.0 + LATELY + LATELY**2, 1.0 + LATELY + LATELY**2, 0.0, 1_000.0)
    )
    assert evidence({"svm:1": 0.25}) == {"svm:1": (1.0, 0.75, 1.0, 0.75, 0.0, 0.0)}


def played(state: State, *, labels: int, right: dict[str, float], luck: random.Random) -> State:
    """Have queries labelled one by one; each arm is right with this chance."""
    for number in range(labels):
        (arm,) = applied(state).select(luck.random()).arms
        state = learned(state, arm, float(luck.random() < right[arm]), at_ms=1 + number)
    return state


def test_it_says_what_is_best_and_reopens_where_that_fails() -> None:
    luck = random.Random(3)
    settled = played(State(), labels=400, right={"knn:1": 0.95, "svm:1": 0.6}, luck=luck)
    before = recommended(settled)

    fallen = played(settled, labels=25, right={"knn:1": 0.1, "svm:1": 0.6}, luck=luck)
    after = recommended(fallen)
    found = recommended(played(fallen, labels=400, right={"knn:1": 0.1, "svm:1": 0.6}, luck=luck))

    assert (before.arm, before.state, before.labels) == ("knn:1", "best", 400)
    assert before.confidence >= 0.95
    assert applied(settled).probabilities["knn:1"] == pytest.approx(0.99)
    assert after.state == "reopened"
    assert applied(fallen).probabilities["svm:1"] > 0.05
    assert (found.arm, found.state) == ("svm:1", "best")


def test_two_equal_arms_are_not_called_best_however_often_one_looks() -> None:
    called = 0
    for seed in range(40):
        luck, seen, right = random.Random(seed), [0, 0], [0.0, 0.0]
        for _ in range(600):
            arm = luck.randrange(2)
            seen[arm] += 1
            right[arm] += luck.random() < 0.9
            rewards = [Rewards(n, total) for n, total in zip(seen, right, strict=True)]
            if any(confidence_in(rewards, best=best) >= 0.95 for best in (0, 1)):
                called += 1
                break
    assert called <= 2


def test_arms_that_are_asked_together_have_to_differ_more() -> None:
    state = {"a:1": known(seen=100, right=90), "b:1": known(seen=100, right=65)}

    apart, together = (
        recommend(state, proof=Proof()),
        recommend(state, proof=Proof(), together=True),
    )

    assert apart is not None
    assert together is not None
    assert apart.state == "best"
    assert together.state == "undecided"
    assert 1.0 - together.confidence == pytest.approx((1.0 - apart.confidence) ** 0.5)
