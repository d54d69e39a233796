"""Shrinkage of a context towards everybody: as far as contexts are alike."""

from random import Random

import pytest

from selection.policies import make_policy
from selection.policies.arithmetic.shrinkage import (
    COUNTED,
    Everybody,
    shrink,
)
from selection.policies.arithmetic.sums import (
    REWARDS,
    State,
    Statistics,
    learn_in,
)
from selection.store.state_record import prepared

ARMS = ("a:1", "b:1")
THOMPSON = make_policy("thompson", {"decay": 0, "floor": 0})


def taught(accuracies: dict[str, tuple[float, float]], *, contexts: int, labels: int) -> State:
    """Everybody's state after labels in contexts, each of one of two kinds of accuracy by arm."""
    luck, states = Random(0), dict[str, State]()
    for number in range(contexts * labels):
        context = str(number % contexts)
        for arm, kinds in accuracies.items():
            losses = {arm: float(luck.random() >= kinds[int(context) % 2])}
            update = THOMPSON.update(arms=ARMS, losses=losses, propensities={arm: 0.5})
            states |= learn_in(context, update, states=states)
    return states[""]


def everybody(general: State) -> Everybody:
    return Everybody.of(general, ARMS, statistics=(REWARDS,), warm_start=0.5)


def test_alike_contexts_follow_everybody_and_unlike_ones_their_own() -> None:
    alike = taught({"a:1": (0.9, 0.9), "b:1": (0.6, 0.6)}, contexts=50, labels=10)
    unlike = taught({"a:1": (0.9, 0.6), "b:1": (0.6, 0.9)}, contexts=50, labels=10)
    assert everybody(alike).strength > 25.0
    # The mean is .75, and .15 to either side.
    credibility = 0.75 * 0.25 / 0.15**2 - 1.0
    assert everybody(unlike).strength == pytest.approx(COUNTED * credibility, rel=0.3)


def test_one_heavy_user_does_not_make_contexts_look_alike() -> None:
    luck, states = Random(0), dict[str, State]()
    for number in range(3000):
        context = "heavy" if number % 2 else str(number % 100)
        mean = 0.9 if context == "heavy" or int(context) % 4 else 0.6
        losses = {"a:1": float(luck.random() >= mean)}
        update = THOMPSON.update(arms=ARMS, losses=losses, propensities={"a:1": 0.5})
        states |= learn_in(context, update, states=states)
    # Weighed by labels the variance between contexts is 3/16 of .3 squared, within them about .13.
    assert everybody(states[""]).strength == pytest.approx(COUNTED * (0.13 / 0.017 - 1.0), rel=0.5)


LOGS = Everybody(
    statistics={"a:1": (-4.0,), "b:1": (-40.0,)},
    rewards={"a:1": (80.0, 70.0, 70.0), "b:1": (20.0, 1.0, 1.0)},
    strength=8.0,
)


def observed(count: float) -> Statistics:
    return {"a:1": (count, 0.0, 0.0), "b:1": (0.0, 0.0, 0.0)}


@pytest.mark.parametrize("count", [72.0, 80.0, 1000.0])
def test_log_weights_of_as_many_labels_as_all_have_are_nobody_else_s(count: float) -> None:
    own = {"a:1": (-1.0,), "b:1": (0.0,)}
    share = max(80.0 - count, 0.0) / 80.0
    assert shrink(own, LOGS, seen=observed(count), relative=True) == {
        "a:1": pytest.approx((-1.0 - 4.0 * share,)), "b:1": pytest.approx((-40.0 * share,))
    }  # fmt: skip


@pytest.mark.parametrize("name", ["epsilon_greedy", "ucb1", "thompson", "exp3", "exp4"])
def test_every_policy_starts_a_context_where_everybody_is_and_lets_it_learn(name: str) -> None:
    policy, states = make_policy(name, {}), dict[str, State]()
    routed = dict.fromkeys(ARMS, 1.0)

    def trust(context: str) -> float:
        ready = prepared(policy, states.get(context, State()), routed, general=states[""])
        return ready.weights["a:1"]

    def label(context: str, losses: dict[str, float]) -> None:
        update = policy.update(arms=ARMS, losses=losses, propensities=dict.fromkeys(losses, 0.5))
        states.update(learn_in(context, update, states=states))

    for number in range(100):
        label(f"other-{number % 20}", {"a:1": 0.0, "b:1": 1.0})
    assert trust("new") > 0.5
    for _ in range(60):
        label("ann", {"a:1": 1.0, "b:1": 0.0})
    assert trust("ann") < 0.5 < trust("new")
