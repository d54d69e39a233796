"""Static: routes decide by their weights which arm is asked; feedback moves nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.sums import Statistics
from selection.policies.policy import Policy, Prepared, normalise


@dataclass(frozen=True, slots=True, kw_only=True)
class Static(Policy):
    """Ask one arm, drawn by the weights of the routes: a single route is always asked."""

    name: ClassVar[str] = "static"
    summary: ClassVar[str] = "asks the routed version; several are drawn by route weight"
    learns: ClassVar[bool] = False

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        weights = normalise(arms)
        return Prepared.draw_one(weights=weights, probabilities=weights)
