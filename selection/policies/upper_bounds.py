"""What policies share that ask by an upper bound of the reward that features promise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from selection.policies.base import Parameter
from selection.policies.features import Features, listed
from selection.policies.linear import Contextual, Linear

if TYPE_CHECKING:
    from selection.policies.ridge import Ridge

DIMENSIONS = Parameter("dimensions", 1, 1, 16, "how many features come with each query", whole=True)
FLOOR = Parameter("floor", 0.01, 0.0, 1.0, "share of queries spread evenly over all arms")
# What stands before alpha in every bound.
ALPHA_WORDS = "how much not knowing an arm speaks for it"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Bounded(Contextual):
    """Arms with bounds; each gets its part of the `floor`."""

    bounds_of: Ridge
    alpha: float
    floor: float


@dataclass(frozen=True, slots=True, kw_only=True)
class UpperBounds(Linear):
    """Takes features by place, as many as it has `dimensions`."""

    dimensions: int = 1
    alpha: float = 0.5
    floor: float = FLOOR.default

    @property
    def coefficients(self) -> int:
        return self.dimensions + 1

    def encode(self, features: Features) -> tuple[float, ...]:
        return listed(features, dimensions=self.dimensions)
