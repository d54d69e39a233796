"""RandLinUCB: upper bounds for what is known of a query, at a confidence drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.base import Parameter, floored
from selection.policies.linear import SLOWLY_FADING, Contextual
from selection.policies.newcomers import NEWCOMERS, bounded_to
from selection.policies.statistics import Statistics
from selection.policies.upper_bounds import ALPHA_WORDS, DIMENSIONS, FLOOR, Bounded, UpperBounds


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Randomised(Bounded):
    """Each arm as often as its bound is the highest."""

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
class RandLinUCB(UpperBounds):
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
        DIMENSIONS,
        Parameter("alpha", 0.7, 0.0, 10.0, ALPHA_WORDS),
        Parameter("ridge", 3.0, 1e-3, 1e3, "how strongly arms are taken to be alike"),
        FLOOR,
        NEWCOMERS,
        *SLOWLY_FADING,
    )

    alpha: float = 0.7
    ridge: float = 3.0

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.ridge import Ridge

        return Randomised(
            **self.parts(statistics),
            bounds_of=Ridge.together(
                tuple(statistics.values()), dimensions=self.coefficients, ridge=self.ridge
            ),
            alpha=self.alpha,
            floor=self.floor,
        )
