"""Static: route weights decide, feedback moves nothing."""

import pytest

from selection.policies import Selection, make_policy
from selection.policies.arithmetic.sums import EVIDENCE, REWARDS

NOTHING = (0.0, 0.0, 0.0)
UNKNOWN = {"a:1": NOTHING, "b:1": NOTHING}
static = make_policy("static", {})


@pytest.mark.parametrize(
    ("uniform", "arm"), [(0.0, "a:1"), (0.24, "a:1"), (0.25, "b:1"), (0.999999, "b:1")]
)
def test_several_routes_are_drawn_by_their_weights(uniform: float, arm: str) -> None:
    assert static.prepare(UNKNOWN, {"a:1": 1.0, "b:1": 3.0}).select(uniform).arms == (arm,)


@pytest.mark.parametrize("arms", [{"a:1": 0.0, "b:1": 1.0}, {"b:1": 1.0, "a:1": 0.0}])
@pytest.mark.parametrize("uniform", [0.0, 0.5, 1.0 - 2**-53])
def test_a_route_without_weight_is_never_asked(arms: dict[str, float], uniform: float) -> None:
    assert static.prepare(UNKNOWN, arms).select(uniform) == Selection(("b:1",), (1.0,))


def test_routes_that_all_weigh_nothing_share_evenly() -> None:
    assert static.prepare(UNKNOWN, {"a:1": 0.0, "b:1": 0.0}).weights == {"a:1": 0.5, "b:1": 0.5}


def test_feedback_moves_nothing_but_what_is_known_of_rewards() -> None:
    assert not static.learns
    deltas = static.update(losses={"a:1": 0.75}, propensities={"a:1": 1.0}).deltas
    assert deltas[REWARDS] == {"a:1": (1.0, 0.25, 0.0625)}
    assert set(deltas) == {REWARDS, EVIDENCE}
