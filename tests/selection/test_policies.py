"""What holds for every policy: parameters are checked, chances add up, numbers stay finite."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import BadRequest
from selection.policies import POLICIES, InvalidPolicyParams, State, make_policy
from selection.policies.base import resolve, shares

ARMS = {"a:1": 1.0, "b:1": 2.0, "c:1": 0.0, "d:2": 1.0}
names = st.sampled_from(sorted(POLICIES))
log_weights = st.dictionaries(
    st.sampled_from([*ARMS, "gone:1"]), st.floats(-3e7, 3e7, allow_nan=False)
)
uniforms = st.floats(0.0, 1.0, exclude_max=True)


@given(name=names, known=log_weights)
def test_weights_are_positive_shares_that_sum_to_one(name, known):
    weights = make_policy(name, {}).prepare(State(known), ARMS).weights
    assert list(weights) == list(ARMS)
    assert math.isclose(math.fsum(weights.values()), 1.0, abs_tol=1e-12)
    assert all(math.isfinite(w) for w in weights.values())
    assert all(w > 0.0 for arm, w in weights.items() if name != "static" or ARMS[arm])


@given(name=names, known=log_weights, uniform=uniforms)
def test_a_selection_names_routed_arms_with_the_chance_they_had(name, known, uniform):
    prepared = make_policy(name, {}).prepare(State(known), ARMS)
    selection = prepared.select(uniform)
    assert selection.arms
    assert selection.propensities == tuple(prepared.probabilities[arm] for arm in selection.arms)
    assert all(0.0 < p <= 1.0 for p in selection.propensities)


@given(name=names, loss=st.floats(0.0, 1.0), chance=st.floats(0.0, 1.0))
def test_what_feedback_adds_is_finite_and_never_a_praise(name, loss, chance):
    deltas = make_policy(name, {}).observe(losses={"a:1": loss}, propensities={"a:1": chance})
    assert all(math.isfinite(delta) and delta <= 0.0 for delta in deltas.values())


def test_weights_stay_finite_and_positive_after_a_million_of_the_largest_steps():
    policy = make_policy("exp3", {"eta": 10.0, "floor": 0.001})
    step = policy.observe(losses={"a:1": 1.0}, propensities={"a:1": 0.0})["a:1"]
    state = State({**dict.fromkeys(ARMS, 0.0), "a:1": step * 10**6})
    weights = policy.prepare(state, ARMS).weights
    assert 0.0 < weights["a:1"] < 1e-300
    assert math.isclose(sum(weights.values()), 1.0)


def test_a_new_arm_joins_at_the_mean_of_the_present_ones():
    joined = resolve({"a:1": -1.0, "b:1": -3.0, "gone:1": -1000.0}, ARMS)
    assert joined == {"a:1": -1.0, "b:1": -3.0, "c:1": -2.0, "d:2": -2.0}


def test_arms_of_which_nothing_is_known_weigh_the_same():
    assert shares(resolve({}, ARMS)) == dict.fromkeys(ARMS, 0.25)


def test_the_table_names_each_policy_as_it_names_itself():
    assert {name: policy.name for name, policy in POLICIES.items()} == {n: n for n in POLICIES}


@pytest.mark.parametrize("name", sorted(POLICIES))
def test_declared_defaults_are_the_defaults(name):
    policy = make_policy(name, {})
    declared = {parameter.name: parameter.default for parameter in policy.parameters}
    assert declared == {key: getattr(policy, key) for key in declared}
    assert all(p.low <= p.default <= p.high for p in policy.parameters)


def test_an_unknown_policy_is_refused_with_the_known_ones():
    with pytest.raises(InvalidPolicyParams, match="'exp5': expected one of static, exp3, exp4"):
        make_policy("exp5", {})


def test_an_unknown_parameter_is_refused_with_the_known_ones():
    with pytest.raises(InvalidPolicyParams, match="no parameter 'gamma': expected eta, floor"):
        make_policy("exp3", {"gamma": 1})
    with pytest.raises(InvalidPolicyParams, match="no parameter 'eta': expected none at all"):
        make_policy("static", {"eta": 1})


@pytest.mark.parametrize("value", [0, -1, 11, math.nan, math.inf, "0.1", None, True, [1]])
def test_a_parameter_out_of_range_is_refused_with_the_range(value):
    with pytest.raises(InvalidPolicyParams, match=r"eta is .*expected a number from 0.0001 to 10"):
        make_policy("exp4", {"eta": value})


def test_wrong_parameters_are_a_bad_request_and_a_value_error():
    error = InvalidPolicyParams("no")
    assert isinstance(error, BadRequest)
    assert isinstance(error, ValueError)
    assert error.body() == {"error": "no", "code": "invalid_policy_params", "details": {}}


def test_a_whole_number_will_do():
    assert make_policy("exp4", {"eta": 1}) == make_policy("exp4", {"eta": 1.0})
