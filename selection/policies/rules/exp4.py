"""Exp4: ask every arm, combine their answers, and learn from the error of each (§5.2)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.sums import Statistics, Vector
from selection.policies.policy import Exponential, Observation, Prepared, ask_all, parameter, shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp4(Exponential):
    """An ensemble whose weights follow Hedge: log-weight += -eta * loss for each that answered."""

    name: ClassVar[str] = "exp4"
    summary: ClassVar[str] = "asks all arms, combines answers by weights learned from feedback"
    eta: float = parameter(0.3, 1e-4, 10.0, "how fast recent feedback moves the weights")

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        return ask_all(weights=shares(statistics))

    def observe(self, seen: Observation) -> dict[str, Vector]:
        return {arm: (-self.eta * loss,) for arm, loss in seen.losses.items()}
