"""The selection policies by name, and the one place that makes a policy from its parameters."""

import math
from collections.abc import Mapping
from typing import Any

from core.errors import InvalidPolicyParams
from core.suggest import meant
from selection.policies.policy import Parameter, Policy, Prepared, Selection
from selection.policies.rules.ab_split import ABSplit
from selection.policies.rules.auto import Auto
from selection.policies.rules.epsilon_greedy import EpsilonGreedy
from selection.policies.rules.exp3 import Exp3
from selection.policies.rules.exp4 import Exp4
from selection.policies.rules.route_weights import Static
from selection.policies.rules.thompson import Thompson
from selection.policies.rules.track_and_stop import TrackAndStop
from selection.policies.rules.ucb1 import UCB1

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (Static, ABSplit, EpsilonGreedy, UCB1, Thompson, TrackAndStop, Exp3, Exp4, Auto)
}

# Rules among which `auto` chooses, or that it has replaced: their names are refused with a hint.
CHOSEN_BY_AUTO = ("adaptive_ucb", "linucb", "rand_linucb", "squarecb")

__all__ = ["POLICIES", "Parameter", "Policy", "Prepared", "Selection", "make_policy"]


def make_policy(name: str, params: Mapping[str, Any]) -> Policy:
    """Return the named policy. Raises `InvalidPolicyParams`."""
    if name in CHOSEN_BY_AUTO:
        raise InvalidPolicyParams(
            f"policy {name!r} can't be named: expected 'auto', which chooses it or a "
            "better one; its parameter dimensions says how many features come with each query"
        )
    policy = POLICIES.get(name)
    if policy is None:
        hint = meant(name, POLICIES)
        raise InvalidPolicyParams(
            f"no policy {name!r}{hint}: expected one of {', '.join(POLICIES)}"
        )
    taken = {parameter.name: parameter for parameter in policy.parameters}
    unknown = sorted(set(params) - set(taken))
    if unknown:
        expected = ", ".join(taken) or "none at all"
        raise InvalidPolicyParams(
            f"policy {name!r} has no parameter {unknown[0]!r}{meant(unknown[0], taken)}: "
            f"expected {expected}"
        )
    return policy(**{key: _checked(value, taken[key]) for key, value in params.items()})


def _checked(value: Any, parameter: Parameter) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if number and math.isfinite(value) and parameter.low <= value <= parameter.high:
        if not parameter.whole:
            return float(value)
        if value == int(value):
            return int(value)
    kind = "whole number" if parameter.whole else "number"
    raise InvalidPolicyParams(
        f"{parameter.name} is {value!r}: expected a {kind} from "
        f"{parameter.low:g} to {parameter.high:g} ({parameter.meaning})"
    )
