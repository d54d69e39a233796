"""RandLinUCB: upper bounds of the reward that features promise, at a confidence drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selection.policies.arithmetic.sums import Statistics
from selection.policies.newcomers import limit_newcomers
from selection.policies.policy import add_floor
from selection.policies.rules.contextual import Contextual, Linear

if TYPE_CHECKING:
    from selection.policies.arithmetic.ridge import Ridge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomisedBounds(Contextual):
    """Each arm as often as its bound is the highest, and its part of the `floor`."""

    regression: Ridge
    alpha: float
    floor: float

    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        chances = limit_newcomers(
            self._highest(features),
            new=self.new,
            newcomers=self.newcomers,
            known=lambda: self._highest(features, among=[arm not in self.new for arm in self.arms]),
        )
        return add_floor(chances, floor=self.floor)

    def _highest(
        self, features: Sequence[float], *, among: Sequence[bool] | None = None
    ) -> dict[str, float]:
        shares = self.regression.highest_bound((1.0, *features), alpha=self.alpha, among=among)
        return dict(zip(self.arms, shares, strict=True))


@dataclass(frozen=True, slots=True, kw_only=True)
class RandLinUCB(Linear):
    """Ask the arm of the highest theta_i' x + alpha * sqrt(u * x' A_i^-1 x), u drawn from 0 to 1.

    Vaswani, Mehrabian, Durand and Kveton 2020, "Old dog learns new tricks: randomized UCB for
    bandit problems".
    """

    name: ClassVar[str] = "rand_linucb"

    alpha: float = 0.7
    ridge: float = 3.0
    floor: float = 0.01

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # Import NumPy only if a policy needs it: other processes save its memory.
        from selection.policies.arithmetic.ridge import Ridge

        return self.prepared(
            RandomisedBounds,
            statistics,
            regression=Ridge.of(
                tuple(statistics.values()), dimensions=self.coefficients, ridge=self.ridge
            ),
            alpha=self.alpha,
            floor=self.floor,
        )
