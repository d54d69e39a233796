"""RandLinUCB: upper bounds for what is known of a query, at a confidence drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selection.policies.base import Parameter, floored
from selection.policies.features import Features, listed
from selection.policies.linear import SLOWLY_FADING, Contextual, Linear, evenly_drawn
from selection.policies.newcomers import NEWCOMERS, bounded_to, new_among
from selection.policies.statistics import Statistics

if TYPE_CHECKING:
    from selection.policies.ridge import Ridge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Randomised(Contextual):
    """Each arm as often as its bound is the highest."""

    bounds_of: Ridge
    alpha: float
    floor: float
    new: frozenset[str]
    newcomers: float

    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        chances = self._highest(features)
        if sum(chances[arm] for arm in self.new) > self.newcomers:
            known = self._highest(features, among=[arm not in self.new for arm in self.arms])
            chances = bounded_to(self.newcomers, chances, new=self.new, known=known)
        return floored(chances, floor=self.floor)

    def _highest(
        self, features: Sequence[float], *, among: Sequence[bool] | None = None
    ) -> dict[str, float]:
        shares = self.bounds_of.highest_bound((1.0, *features), alpha=self.alpha, among=among)
        return dict(zip(self.arms, shares, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class RandLinUCB(Linear):
    """Ask the arm of the highest theta_i' x + alpha * sqrt(u * x' A_i^-1 x), where u is drawn from
    0 to 1 for each query, the same for all arms (Vaswani, Mehrabian, Durand and Kveton 2020, "Old
    dog learns new tricks: randomized UCB for bandit problems").

    The regression has coefficients that all arms share, and each arm's own deviations from them,
    which ridge draws to 0. Once some arm is known, those without feedback get the share `newcomers`
    at most.
    """

    name: ClassVar[str] = "rand_linucb"
    summary: ClassVar[str] = "asks each version as often as it could be best for the features"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("dimensions", 1, 1, 16, "how many features come with each query", whole=True),
        Parameter("alpha", 0.7, 0.0, 10.0, "how much not knowing an arm speaks for it"),
        Parameter("ridge", 3.0, 1e-3, 1e3, "how strongly arms are taken to be alike"),
        Parameter("floor", 0.01, 0.0, 1.0, "share of queries spread evenly over all arms"),
        NEWCOMERS,
        *SLOWLY_FADING,
    )

    dimensions: int = 1
    alpha: float = 0.7
    ridge: float = 3.0
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
        return Randomised(
            weights=drawn.weights,
            probabilities=drawn.probabilities,
            selections=drawn.selections,
            bounds=drawn.bounds,
            arms=tuple(statistics),
            width=self.coefficients - 1,
            bounds_of=Ridge.together(
                [vector[2:] for vector in statistics.values()],
                dimensions=self.coefficients,
                ridge=self.ridge,
            ),
            alpha=self.alpha,
            floor=self.floor,
            new=new_among(statistics),
            newcomers=self.newcomers,
        )
