"""LinUCB: ask the arm that could be the best for what is known of this very query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selection.policies.base import Parameter, floored
from selection.policies.features import Features, listed
from selection.policies.linear import SLOWLY_FADING, Contextual, Linear, evenly_drawn
from selection.policies.newcomers import NEWCOMERS, favoured, new_among
from selection.policies.statistics import Statistics

if TYPE_CHECKING:
    from selection.policies.ridge import Ridge

RIDGE = Parameter("ridge", 1.0, 1e-3, 1e3, "how strongly coefficients are drawn to 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimistic(Contextual):
    """The arm of the highest upper bound, others by the floor alone."""

    bounds_of: Ridge
    alpha: float
    floor: float
    new: frozenset[str]
    newcomers: float

    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        bounds = self.bounds_of.upper_bounds((1.0, *features), alpha=self.alpha)
        scores = dict(zip(self.arms, bounds, strict=True))
        best = favoured(scores, new=self.new, newcomers=self.newcomers)
        return floored(best, floor=self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUCB(Linear):
    """Li, Chu, Langford and Schapire 2010, disjoint: for each arm ridge regression of reward on
    features x, of which the first is a constant 1, A = ridge * I + sum(x x'), b = sum(reward * x),
    theta = A^-1 b, and then the highest theta' x + alpha * sqrt(x' A^-1 x). Arms that tie share.
    Where the sums fade it is discounted (Russac, Vernade and Cappé 2019). Once some arm is known,
    those without feedback get the share `newcomers` at most.
    """

    name: ClassVar[str] = "linucb"
    summary: ClassVar[str] = "asks the version that could be best for the query's features"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("dimensions", 1, 1, 16, "how many features come with each query", whole=True),
        Parameter("alpha", 0.5, 0.0, 10.0, "how much not knowing an arm speaks for it"),
        RIDGE,
        Parameter("floor", 0.01, 0.0, 1.0, "share of queries spread evenly over all arms"),
        NEWCOMERS,
        *SLOWLY_FADING,
    )

    dimensions: int = 1
    alpha: float = 0.5
    floor: float = 0.01
    newcomers: float = NEWCOMERS.default

    @property
    def coefficients(self) -> int:
        return self.dimensions + 1

    def encode(self, features: Features) -> tuple[float, ...]:
        return listed(features, dimensions=self.dimensions)

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.ridge import Ridge

        drawn = evenly_drawn(statistics)
        return Optimistic(
            weights=drawn.weights,
            probabilities=drawn.probabilities,
            selections=drawn.selections,
            bounds=drawn.bounds,
            arms=tuple(statistics),
            width=self.coefficients - 1,
            bounds_of=Ridge.of(
                [vector[2:] for vector in statistics.values()],
                dimensions=self.coefficients,
                ridge=self.ridge,
            ),
            alpha=self.alpha,
            floor=self.floor,
            new=new_among(statistics),
            newcomers=self.newcomers,
        )
