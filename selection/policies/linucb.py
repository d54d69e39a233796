"""LinUCB: ask the arm that could be the best for what is known of this very query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from registry.errors import BadRequest
from selection.policies.base import (
    FADING,
    Parameter,
    Policy,
    Prepared,
    Selection,
    down_of,
    draw_one,
    floored,
    trust,
)
from selection.policies.newcomers import NEWCOMERS, favoured, new_among
from selection.policies.statistics import StatisticKind, Statistics, Vector
from selection.reliability import EVERYTHING, Factors, redistributed

if TYPE_CHECKING:
    from selection.policies.ridge import Ridge

# Larger features would drown all others, and their products could overflow.
LARGEST_FEATURE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contextual(Prepared):
    """Arms whose chances depend on the query. `probabilities` are even shares: the features that
    decide aren't known here.
    """

    arms: tuple[str, ...]
    ridge: Ridge
    alpha: float
    floor: float
    new: frozenset[str]
    newcomers: float
    factors: Factors = field(default_factory=lambda: EVERYTHING)

    def chances(self, features: Sequence[float] = ()) -> Mapping[str, float]:
        if not features:
            return self.probabilities
        bounds = self.ridge.upper_bounds(features, alpha=self.alpha)
        scores = dict(zip(self.arms, bounds, strict=True))
        best = favoured(scores, new=self.new, newcomers=self.newcomers)
        chances = floored(best, floor=self.floor)
        return redistributed(chances, factors=self.factors) if self.factors else chances

    def reweighted(self, factors: Factors) -> Contextual:
        return replace(
            self,
            weights=redistributed(self.weights, factors=factors),
            probabilities=redistributed(self.probabilities, factors=factors),
            down=down_of(self.probabilities, factors=factors),
            factors=factors,
        )

    def select(self, uniform: float, features: Sequence[float] = ()) -> Selection:
        reached, chances = 0.0, self.chances(features)
        for arm, chance in chances.items():
            reached += chance
            if uniform < reached:
                return Selection((arm,), (chance,))
        # Rounding may leave the sum a little below 1.
        return Selection((arm,), (chance,))


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUCB(Policy):
    """Li, Chu, Langford and Schapire 2010, disjoint: for each arm ridge regression of reward on
    features x, A = ridge * I + sum(x x'), b = sum(reward * x), theta = A^-1 b, and then the
    highest theta' x + alpha * sqrt(x' A^-1 x). Arms that tie share. Where the sums fade it is
    discounted (Russac, Vernade and Cappé 2019). Once some arm is known, those without feedback get
    the share `newcomers` at most.
    """

    name: ClassVar[str] = "linucb"
    summary: ClassVar[str] = "asks the version that could be best for the query's features"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("dimensions", 1, 1, 16, "how many features come with each query", whole=True),
        Parameter("alpha", 0.5, 0.0, 10.0, "how much not knowing an arm speaks for it"),
        Parameter("ridge", 1.0, 1e-3, 1e3, "how strongly coefficients are drawn to 0"),
        Parameter("floor", 0.05, 0.0, 1.0, "share of queries spread evenly over all arms"),
        NEWCOMERS,
        *FADING,
    )

    dimensions: int = 1
    alpha: float = 0.5
    ridge: float = 1.0
    floor: float = 0.05
    newcomers: float = NEWCOMERS.default

    @property
    def statistic(self) -> StatisticKind:
        """Observations, their rewards, then the upper triangle of sum(x x') and sum(reward * x).

        Sums of another number of features are another family, which begins anew.
        """
        d = self.dimensions
        return StatisticKind(f"lin{d}", 2 + d * (d + 1) // 2 + d)

    def check_features(self, features: Sequence[float]) -> None:
        if len(features) != self.dimensions:
            raise BadRequest(
                f"features: expected an array of {self.dimensions} numbers, got {len(features)}."
            )
        for x in features:
            if not -LARGEST_FEATURE <= x <= LARGEST_FEATURE:
                raise BadRequest(
                    f"features: expected numbers from {-LARGEST_FEATURE:g} to "
                    f"{LARGEST_FEATURE:g}, got {x:g}."
                )

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.ridge import Ridge

        even = dict.fromkeys(statistics, 1.0 / len(statistics))
        drawn = draw_one(weights=trust(statistics), probabilities=even)
        return Contextual(
            weights=drawn.weights,
            probabilities=drawn.probabilities,
            selections=drawn.selections,
            bounds=drawn.bounds,
            arms=tuple(statistics),
            ridge=Ridge.of(
                [vector[2:] for vector in statistics.values()],
                dimensions=self.dimensions,
                ridge=self.ridge,
            ),
            alpha=self.alpha,
            floor=self.floor,
            new=new_among(statistics),
            newcomers=self.newcomers,
        )

    def observe(
        self,
        *,
        losses: Mapping[str, float],
        propensities: Mapping[str, float],
        features: Sequence[float] = (),
    ) -> dict[str, Vector]:
        if len(features) != self.dimensions:
            # The query was asked under other parameters or another policy.
            return {}
        products = tuple(x * y for i, x in enumerate(features) for y in features[i:])
        return {
            arm: (1.0, 1.0 - loss, *products, *((1.0 - loss) * x for x in features))
            for arm, loss in losses.items()
        }
