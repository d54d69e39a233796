"""Policies that predict each arm's reward as linear in a query's features."""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self, TypeVar

from selection.policies.arithmetic.features import Features, encode
from selection.policies.arithmetic.sums import StatisticKind, Statistics, Vector
from selection.policies.newcomers import NEWCOMERS, new_among
from selection.policies.policy import Observation, Policy, Prepared, Selection, down_of, trust
from selection.reliability import EVERYTHING, Factors, redistributed


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contextual(Prepared):
    """Arms whose chances depend on the query; without its features all arms have even shares."""

    arms: tuple[str, ...]
    # Features of a query.
    width: int
    new: frozenset[str]
    newcomers: float
    factors: Factors = field(default_factory=lambda: EVERYTHING)

    @abstractmethod
    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        """Return the chance of each arm where all answer reliably."""

    def chances(self, features: Sequence[float] = ()) -> Mapping[str, float]:
        if len(features) != self.width:
            return self.probabilities
        chances = self.chances_by(features)
        return redistributed(chances, factors=self.factors) if self.factors else chances

    def reweighted(self, factors: Factors) -> Self:
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


Kind = TypeVar("Kind", bound=Contextual)


@dataclass(frozen=True, slots=True, kw_only=True)
class Linear(Policy):
    """A policy that keeps a ridge regression of each arm's reward on a constant and the features.

    What is known of an arm fades with its own labels alone.
    """

    dimensions: int = 1
    ridge: float = 1.0
    # With the usual 0.003, five features cost 2.5 times the regret (337 instead of 133, of 10,000
    # queries): coefficients take long to learn.
    decay: float = 0.0005
    newcomers: float = NEWCOMERS[0]

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

    def prepared(self, kind: type[Kind], statistics: Statistics, **own: Any) -> Kind:
        """Return even chances, for where features aren't known, and trust by mean rewards."""
        return kind.draw_one(
            weights=trust(statistics),
            probabilities=dict.fromkeys(statistics, 1.0 / len(statistics)),
            arms=tuple(statistics),
            width=self.coefficients - 1,
            new=new_among(statistics),
            newcomers=self.newcomers,
            **own,
        )
