"""The recipe "A selection policy": REST, what-ifs and the reference know one from its row."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import pytest

from registry import services
from scripts.docs.from_code import parameters, policies
from selection.policies import POLICIES, make_policy
from selection.policies.arithmetic.sums import State, Statistics, join_all, learn
from selection.policies.policy import Policy, Prepared, highest, normalise, parameter


@dataclass(frozen=True, slots=True, kw_only=True)
class Toaster(Policy):
    """Ask the arm with the most rewards, and the others by a share of browning."""

    name: ClassVar[str] = "toaster"
    summary: ClassVar[str] = "asks the brownest version"

    browning: float = parameter(0.1, 0.0, 1.0, "share of queries for the others")

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        best = highest({arm: vector[1] for arm, vector in statistics.items()})[0]
        chances = {arm: 1.0 if arm == best else self.browning for arm in arms}
        return Prepared.draw_one(weights=normalise(chances), probabilities=normalise(chances))


@pytest.fixture(autouse=True)
def _row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(POLICIES, Toaster.name, Toaster)


@pytest.mark.django_db
def test_an_application_may_have_it() -> None:
    application = services.create_application(
        name="bread",
        input_type="doubles",
        slo_ms=50,
        policy="toaster",
        policy_params={"browning": 0.5},
        by=services.SYSTEM,
    )
    assert application.policy == "toaster"


def test_it_learns_from_feedback() -> None:
    policy = make_policy("toaster", {"browning": 0.0})
    arms = {"a:1": 1.0, "b:1": 1.0}
    update = policy.update(losses={"b:1": 0.0}, propensities={"b:1": 0.5}, arms=arms)
    known = join_all(
        learn(State(), update), arms, statistics=policy.statistics, warm_start=policy.warm_start
    )
    assert policy.prepare(known, arms).probabilities == {"a:1": 0.0, "b:1": 1.0}


def test_the_reference_lists_it_with_its_parameter() -> None:
    assert "| `toaster` | asks the brownest version | `browning` |" in policies()
    assert "| `browning` | `toaster` | 0.1 | 0 to 1 | share of queries for the others |" in (
        parameters()
    )
