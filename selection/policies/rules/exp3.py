"""Exp3: ask one arm at a time and learn from what it alone answered (§5.1)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.sums import LOG_WEIGHTS, StatisticKind, Statistics, Vector
from selection.policies.policy import Fading, Observation, Prepared, add_floor, parameter, shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp3(Fading):
    """A bandit over arms: softmax of the log-weights, mixed with a floor of exploration.

    p = (1 - floor) * softmax + floor / K; after feedback, log-weight += -eta * loss / p.
    """

    name: ClassVar[str] = "exp3"
    summary: ClassVar[str] = "asks one arm, learns from its feedback which to ask more often"
    eta: float = parameter(0.2, 1e-4, 10.0, "how fast recent feedback moves the weights")
    floor: float = parameter(0.05, 1e-3, 1.0, "share of queries spread evenly over all arms")

    @property
    def statistic(self) -> StatisticKind:
        return LOG_WEIGHTS

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        weights = shares(statistics)
        return Prepared.draw_one(
            weights=weights, probabilities=add_floor(weights, floor=self.floor)
        )

    def observe(self, seen: Observation) -> dict[str, Vector]:
        # One step is at most eta * 1,000, with a slight bias for arms asked more rarely.
        return {
            arm: (-self.eta * loss / max(seen.propensities[arm], 1e-3),)
            for arm, loss in seen.losses.items()
        }
