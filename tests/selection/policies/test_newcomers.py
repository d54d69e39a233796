"""A version without feedback gets a bounded share, however much a policy prefers the unknown."""

from random import Random

import pytest

from selection.policies import Policy, make_policy
from tests.selection.simulation import Learner

NEW = "new:1"
NOTHING = (0.0, 0.0, 0.0)
RIGHT = {"a:1": 0.92, "b:1": 0.85}
LATE = 500  # queries until a label comes
DIMENSIONS = 16

BY_FEATURES = "auto"

ucb1 = make_policy("ucb1", {"floor": 0.0})


def chances(policy: Policy, known: dict[str, tuple[float, float, float]]) -> dict[str, float]:
    return dict(policy.prepare(known, dict.fromkeys(known, 1.0)).probabilities)


def test_all_newcomers_share_what_is_theirs_and_the_best_of_the_others_has_the_rest() -> None:
    known = {"a:1": (50.0, 45.0, 45.0), "b:1": (50.0, 30.0, 30.0), "c:1": NOTHING, NEW: NOTHING}
    assert chances(ucb1, known) == pytest.approx({"a:1": 0.9, "b:1": 0.0, "c:1": 0.05, NEW: 0.05})


def test_a_label_that_has_begun_to_fade_doesnt_open_the_gates() -> None:
    known = {"a:1": (50.0, 45.0, 45.0), NEW: (0.997, 0.997, 0.997)}
    assert chances(ucb1, known) == pytest.approx({"a:1": 0.9, NEW: 0.1})


def test_at_the_very_start_there_is_nothing_to_lose() -> None:
    known = {"a:1": (3.0, 3.0, 3.0), NEW: NOTHING}
    assert chances(ucb1, known) == {"a:1": 0.0, NEW: 1.0}


def features(policy: Policy, luck: Random) -> tuple[float, ...]:
    if policy.name != BY_FEATURES:
        return ()
    return tuple(luck.uniform(-1.0, 1.0) for _ in range(DIMENSIONS))


def share_of_a_bad_newcomer(policy: Policy) -> float:
    """Return its share of the queries until its first label, which comes late."""
    luck = Random(1)
    learner = Learner(policy, arms=tuple(RIGHT))
    for _ in range(300):
        for arm, right in RIGHT.items():
            described = features(policy, luck)
            selection = learner.prepared.select(0.0, described)._replace(arms=(arm,))
            wrong = float(luck.random() >= right)
            learner.take(selection, {arm: wrong}, features=described)
    with_newcomer = Learner(policy, arms=(*RIGHT, NEW), states=learner.states)
    asked = [
        with_newcomer.prepared.select(luck.random(), features(policy, luck)).arms[0]
        for _ in range(LATE)
    ]
    return asked.count(NEW) / LATE


@pytest.mark.parametrize("name", ["ucb1", BY_FEATURES, "thompson", "epsilon_greedy", "exp3"])
def test_where_labels_are_late_a_bad_newcomer_doesnt_get_most_queries(name: str) -> None:
    params = {"dimensions": DIMENSIONS} if name == BY_FEATURES else {}
    assert share_of_a_bad_newcomer(make_policy(name, params)) < 0.6
