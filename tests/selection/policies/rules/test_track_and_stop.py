"""track_and_stop: exact chances, when it stops, what it proves, and that it reopens."""

import math
import random

import pytest

from selection.policies import make_policy
from selection.policies.arithmetic.sums import (
    BOTH,
    EVIDENCE,
    LATELY,
    PEOPLE,
    State,
    Vector,
    evidence,
    join_all,
    learn,
)
from selection.policies.best_arm_proof import (
    PROOF,
    Recommendation,
    judge,
    proof_of,
    recommend,
)
from selection.policies.policy import Prepared
from selection.policies.rules.track_and_stop import top_two

POLICY = make_policy("track_and_stop", {})
ARMS = {"knn:1": 1.0, "svm:1": 1.0}


def known(*, seen: float, right: float, arms: int = 2, changes: float = 0.0) -> Vector:
    """Labels of nobody in particular, each a draw of its own."""
    people = (seen, right, seen, right, right, seen)
    rest = (0.0,) * (PEOPLE.width - 6 + BOTH.width * arms)
    return (seen, right, 0.0, 0.0, changes, 0.0, *people, *rest)


def learned(state: State, arm: str, reward: float, *, at_ms: int = 0) -> State:
    losses = {arm: 1.0 - reward}
    return learn(
        state,
        POLICY.update(arms=ARMS, losses=losses, propensities={arm: 0.5}, at_ms=at_ms),
    )


def applied(state: State) -> Prepared:
    statistics = join_all(state, ARMS, statistics=PROOF, warm_start=POLICY.warm_start)
    return POLICY.prepare(statistics, ARMS)


def recommended(state: State) -> Recommendation:
    found = recommend(proof_of(state, tuple(ARMS)), proof=POLICY.proof)
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
            "a:1": known(seen=200, right=190, arms=3),
            "b:1": known(seen=200, right=120, arms=3),
            "c:1": known(seen=200, right=100, arms=3),
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
            arms = {str(arm): known(seen=seen[arm], right=right[arm]) for arm in (0, 1)}
            if judge(arms)[1] >= 0.95:
                called += 1
                break
    assert called <= 2


def test_each_change_spends_less_of_the_chance_to_be_wrong() -> None:
    first, second, fourth = (
        1.0
        - judge(
            {
                "a:1": known(seen=300, right=270, changes=changes),
                "b:1": known(seen=300, right=235, changes=changes),
            }
        )[1]
        for changes in (0.0, 1.0, 3.0)
    )

    assert second == pytest.approx(first * math.pi**2 / 6.0)
    assert fourth == pytest.approx(second * 9.0)
