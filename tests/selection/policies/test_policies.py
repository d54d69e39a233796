"""Rules for every policy: parameters are checked, chances add up, numbers stay finite."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import BadRequest, InvalidPolicyParams
from selection.policies import POLICIES, make_policy
from selection.policies.arithmetic.sums import (
    BOTH,
    EVIDENCE,
    PEOPLE,
    REWARDS,
    State,
    join,
    join_all,
    learn,
)
from selection.policies.policy import Observation, Policy, Prepared
from selection.policies.rules.auto import Auto

ARMS = {"a:1": 1.0, "b:1": 2.0, "c:1": 0.0, "d:2": 1.0}
NOTHING = State()
BY_ROUTES = {"static", "ab_split"}
# Where a version inherits nothing: what is proved of its predecessor says nothing of it.
PROVING = {"track_and_stop"}
names = st.sampled_from(sorted(POLICIES))
uniforms = st.floats(0.0, 1.0, exclude_max=True)
unit = st.floats(0.0, 1.0)


def features_of(policy: Policy) -> tuple[float, ...]:
    return policy.encode((0.5,) * policy.dimensions) if isinstance(policy, Auto) else ()


def prepared(policy: Policy, state: State = NOTHING, arms: dict[str, float] = ARMS) -> Prepared:
    statistics = join_all(state, arms, statistics=policy.statistics, warm_start=policy.warm_start)
    return policy.prepare(statistics, arms)


def observed(
    policy: Policy,
    losses: dict[str, float],
    *,
    state: State = NOTHING,
    propensities: dict[str, float] | None = None,
    arms: dict[str, float] = ARMS,
) -> State:
    """The state after one piece of feedback."""
    update = policy.update(
        arms=arms,
        losses=losses,
        propensities=propensities or dict.fromkeys(losses, 1.0),
        features=features_of(policy),
    )
    return learn(state, update)


@st.composite
def learned(draw: Callable[..., Any]) -> tuple[Policy, State]:
    """A policy with any parameters, and a state that it has been brought to by any feedback."""
    name = draw(names)
    chosen = {
        p.name: draw(st.integers(int(p.low), int(p.high)) if p.whole else st.floats(p.low, p.high))
        for p in POLICIES[name].parameters
        if draw(st.booleans())
    }
    policy, state = make_policy(name, chosen), State()
    some = st.dictionaries(st.sampled_from([*ARMS, "b:0"]), st.tuples(unit, unit), min_size=1)
    for feedback in draw(st.lists(some, max_size=5)):
        state = observed(
            policy,
            {arm: loss for arm, (loss, _) in feedback.items()},
            propensities={arm: chance for arm, (_, chance) in feedback.items()},
            state=state,
        )
    return policy, state


@given(learned())
def test_weights_are_positive_shares_that_sum_to_one(given: tuple[Policy, State]) -> None:
    policy, state = given
    weights = prepared(policy, state).weights
    assert list(weights) == list(ARMS)
    assert math.isclose(math.fsum(weights.values()), 1.0, abs_tol=1e-12)
    assert all(math.isfinite(w) for w in weights.values())
    assert all(w > 0.0 for arm, w in weights.items() if policy.name not in BY_ROUTES or ARMS[arm])


@given(learned(), uniforms)
def test_a_selection_names_routed_arms_with_the_chance_they_had(
    given: tuple[Policy, State], uniform: float
) -> None:
    policy, state = given
    ready, features = prepared(policy, state), features_of(policy)
    chances = ready.chances(features)
    selection = ready.select(uniform, features)
    assert selection.arms
    assert all(0.0 < p <= 1.0 for p in selection.propensities)
    # Where all are asked, what is logged may be their shares of trust instead.
    if selection.propensities != tuple(ready.weights.values()):
        assert selection.propensities == tuple(chances[arm] for arm in selection.arms)
    assert math.isclose(math.fsum(chances.values()), len(selection.arms), abs_tol=1e-9)


@given(learned(), st.text())
def test_an_assignment_is_a_selection_that_stays(given: tuple[Policy, State], key: str) -> None:
    policy, state = given
    ready = prepared(policy, state)
    assert ready.assigned(key) == ready.assigned(key)
    assert ready.assigned(key) in ready.selections


@given(name=names, loss=unit, chance=unit)
def test_what_feedback_adds_is_finite_and_as_wide_as_its_family(
    name: str, loss: float, chance: float
) -> None:
    policy = make_policy(name, {})
    deltas = policy.update(
        losses={"a:1": loss}, propensities={"a:1": chance}, features=features_of(policy)
    ).deltas
    assert set(deltas) == {REWARDS, EVIDENCE, *policy.statistics} - {PEOPLE, BOTH}
    for statistic, by_arm in deltas.items():
        assert list(by_arm) == ["a:1"]
        assert len(by_arm["a:1"]) == statistic.width
        assert all(map(math.isfinite, by_arm["a:1"]))


@given(name=names, loss=unit, chance=unit)
def test_feedback_never_praises_a_wrong_arm(name: str, loss: float, chance: float) -> None:
    policy = make_policy(name, {})
    before = prepared(policy).weights["a:1"]
    state = observed(policy, {"a:1": 0.5 + loss / 2}, propensities={"a:1": chance})
    assert prepared(policy, state).weights["a:1"] <= before + 1e-12


@pytest.mark.parametrize("name", sorted(set(POLICIES) - BY_ROUTES))
def test_a_right_arm_is_trusted_more_than_a_wrong_one(name: str) -> None:
    policy, state = make_policy(name, {}), State()
    for _ in range(50):
        state = observed(policy, {"a:1": 0.0, "b:1": 1.0}, state=state)
    weights = prepared(policy, state).weights
    assert weights["a:1"] > weights["b:1"]


@pytest.mark.parametrize("params", [{}, {"decay": 0.0}])
def test_weights_stay_finite_and_positive_after_a_million_of_the_largest_steps(
    params: dict[str, float],
) -> None:
    policy = make_policy("exp3", {"eta": 10.0, **params})
    (step,) = policy.observe(Observation({"a:1": 1.0}, {"a:1": 0.0}))["a:1"]
    weight = 0.0
    for _ in range(10**6):
        weight = weight * policy.keep + step
    state = State({policy.statistic.name: {**dict.fromkeys(ARMS, (0.0,)), "a:1": (weight,)}})
    weights = prepared(policy, state).weights
    assert 0.0 < weights["a:1"] < 1e-300
    assert math.isclose(sum(weights.values()), 1.0)


@pytest.mark.parametrize("name", sorted(set(POLICIES) - BY_ROUTES - PROVING))
def test_a_new_version_inherits_its_predecessors_belief_discounted(name: str) -> None:
    taken = {parameter.name for parameter in POLICIES[name].parameters}
    params = {key: x for key, x in {"decay": 0.0, "inherit": 0.5}.items() if key in taken}
    policy, state = make_policy(name, params), State()
    before = dict.fromkeys(("a:1", "b:1"), 1.0)
    for _ in range(20):
        state = observed(policy, {"a:1": 0.0, "b:1": 1.0}, state=state, arms=before)
    new = join(state, ("a:2", "b:1"), statistic=policy.statistic, warm_start=policy.warm_start)[
        "a:2"
    ]
    former = state.of(policy.statistic)["a:1"]
    mean = state.of(policy.statistic)["b:1"][0] if policy.statistic.relative else 0.0
    assert new == pytest.approx([mean + 0.5 * (x - mean) for x in former])
    after = prepared(policy, state, {"a:2": 1.0, "b:1": 1.0}).weights
    assert 0.5 < after["a:2"] < prepared(policy, state, before).weights["a:1"] + 1e-12


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidPolicyParams, match=r"'exp5'.*expected one of static, ab_split, eps"):
        make_policy("exp5", {})


def test_an_unknown_parameter_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InvalidPolicyParams, match="no parameter 'gamma': expected eta, floor"):
        make_policy("exp3", {"gamma": 1})
    with pytest.raises(InvalidPolicyParams, match="no parameter 'eta': expected none at all"):
        make_policy("static", {"eta": 1})


@pytest.mark.parametrize("value", [0, -1, 11, math.nan, math.inf, "0.1", None, True, [1]])
def test_a_parameter_out_of_range_is_refused_with_the_range(value: int) -> None:
    with pytest.raises(InvalidPolicyParams, match=r"eta is .*expected a number from 0.0001 to 10"):
        make_policy("exp4", {"eta": value})


@pytest.mark.parametrize("value", [1025, 2.5, math.nan, -1, "2", True, None, 1e300])
def test_where_a_whole_number_is_meant_others_are_refused(value: float) -> None:
    with pytest.raises(InvalidPolicyParams, match="expected a whole number from 0 to 1024"):
        make_policy("auto", {"dimensions": value})


def test_a_whole_number_written_with_a_point_will_do() -> None:
    policy = make_policy("auto", {"dimensions": 3.0})
    assert policy == make_policy("auto", {"dimensions": 3})
    assert isinstance(policy, Auto)
    assert isinstance(policy.dimensions, int)


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_policies_that_take_no_features_refuse_them(name: str) -> None:
    policy = make_policy(name, {})
    assert policy.encode(()) == ()
    for features in ((1.0,), {"city": "Rome"}):
        with pytest.raises(BadRequest, match=f"policy '{name}' takes none"):
            policy.encode(features)
