"""RandLinUCB: upper bounds of the reward that features promise, at a confidence drawn by chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar

from selection.policies.arithmetic.features import Features, encode
from selection.policies.arithmetic.sums import StatisticKind, Statistics, Vector
from selection.policies.newcomers import NEWCOMERS, limit_newcomers, new_among
from selection.policies.policy import (
    Observation,
    Policy,
    Prepared,
    Selection,
    add_floor,
    down_of,
    overlap_of,
    trust,
)
from selection.reliability import EVERYTHING, Factors, redistributed

if TYPE_CHECKING:
    from selection.policies.arithmetic.ridge import Ridge


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RandomisedBounds(Prepared):
    """Each arm as often as its bound is the highest for a query's features, and the `floor`.

    Without the features of the query all arms have even shares.
    """

    regression: Ridge
    alpha: float
    floor: float
    # Features of a query.
    width: int
    new: frozenset[str]
    newcomers: float
    factors: Factors = field(default_factory=lambda: EVERYTHING)

    def chances(self, features: Sequence[float] = ()) -> Mapping[str, float]:
        if len(features) != self.width:
            return self.probabilities
        limited = limit_newcomers(
            self._highest(features),
            new=self.new,
            newcomers=self.newcomers,
            known=lambda: self._highest(
                features, among=[arm not in self.new for arm in self.weights]
            ),
        )
        chances = add_floor(limited, floor=self.floor)
        return redistributed(chances, factors=self.factors) if self.factors else chances

    def _highest(
        self, features: Sequence[float], *, among: Sequence[bool] | None = None
    ) -> dict[str, float]:
        shares = self.regression.highest_bound((1.0, *features), alpha=self.alpha, among=among)
        return dict(zip(self.weights, shares, strict=True))

    def reweighted(self, factors: Factors) -> RandomisedBounds:
        return replace(
            self,
            weights=redistributed(self.weights, factors=factors, spread=0.0),
            probabilities=redistributed(self.probabilities, factors=factors),
            down=down_of(self.probabilities, factors=factors),
            factors=factors,
        )

    def select(self, uniform: float, features: Sequence[float] = ()) -> Selection:
        reached, chances = 0.0, self.chances(features)
        overlap = overlap_of(chances.values())
        for arm, chance in chances.items():
            reached += chance
            if uniform < reached:
                return Selection((arm,), (chance,), overlap)
        # Rounding may leave the sum a little below 1.
        return Selection((arm,), (chance,), overlap)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandLinUCB(Policy):
    """Ask the arm of the highest theta_i' x + alpha * sqrt(u * x' A_i^-1 x), u drawn from 0 to 1.

    Vaswani, Mehrabian, Durand and Kveton 2020, "Old dog learns new tricks: randomized UCB for
    bandit problems". theta_i is a ridge regression of each arm's reward on a constant and the
    features; what is known of an arm fades with its own labels alone.
    """

    name: ClassVar[str] = "rand_linucb"

    dimensions: int = 1
    alpha: float = 0.7
    ridge: float = 3.0
    floor: float = 0.01
    newcomers: float = NEWCOMERS[0]
    # With the usual 0.003, five features cost 2.5 times the regret (337 instead of 133, of 10,000
    # queries): coefficients take long to learn.
    decay: float = 0.0005

    @property
    def coefficients(self) -> int:
        """The coefficients of an arm, with that of the constant."""
        # More features are hashed into so many numbers.
        return 1 + min(self.dimensions, 32)

    @property
    def statistic(self) -> StatisticKind:
        """Observations, their rewards, then the upper triangle of sum(x x') and sum(reward * x)."""
        k = self.coefficients
        width = 2 + k * (k + 1) // 2 + k
        return StatisticKind(f"reg{k}", width, by_arm=width)

    def encode(self, features: Features) -> tuple[float, ...]:
        return encode(features, dimensions=self.dimensions, buckets=self.coefficients - 1)

    def observe(self, seen: Observation) -> dict[str, Vector]:
        if len(seen.features) != self.coefficients - 1:
            # The query was asked under other parameters or another policy.
            return {}
        inputs = (1.0, *seen.features)
        products = tuple(x * y for i, x in enumerate(inputs) for y in inputs[i:])
        return {
            arm: (1.0, 1.0 - loss, *products, *((1.0 - loss) * x for x in inputs))
            for arm, loss in seen.losses.items()
        }

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> RandomisedBounds:
        # Import NumPy only if a policy needs it: other processes save its memory.
        from selection.policies.arithmetic.ridge import Ridge

        return RandomisedBounds.draw_one(
            weights=trust(statistics),
            probabilities=dict.fromkeys(statistics, 1.0 / len(statistics)),
            regression=Ridge.of(
                tuple(statistics.values()), dimensions=self.coefficients, ridge=self.ridge
            ),
            alpha=self.alpha,
            floor=self.floor,
            width=self.coefficients - 1,
            new=new_among(statistics),
            newcomers=self.newcomers,
        )
