"""Thompson sampling: ask each arm as often as it is likely to be the best."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.reward_variance import variance_ratios
from selection.policies.arithmetic.sums import Statistics
from selection.policies.policy import (
    FLOOR,
    LOWEST_EXPONENT,
    Fading,
    Prepared,
    add_floor,
    normalise,
    parameter,
)

LEAST_CHANCE = math.exp(LOWEST_EXPONENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson(Fading):
    """Probability matching (Thompson 1933), with each arm's exact chance of being the best.

    Rewards in [0, 1] count as fractions of a success: Beta(1 + successes, 1 + failures), of as many
    coin flips as tell the same (`reward_variance.py`). If observations fade it is discounted
    Thompson sampling (Raj and Kalyani 2017).
    """

    name: ClassVar[str] = "thompson"
    summary: ClassVar[str] = "asks each version as often as it is likely to be the best"
    floor: float = parameter(0.02, *FLOOR)

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        ratios = variance_ratios(tuple(statistics.values()))
        weights = likely_best(
            {
                arm: (count / ratio, rewards / ratio)
                for (arm, (count, rewards, _)), ratio in zip(
                    statistics.items(), ratios, strict=True
                )
            }
        )
        return Prepared.draw_one(
            weights=weights, probabilities=add_floor(weights, floor=self.floor)
        )


def likely_best(statistics: Statistics) -> dict[str, float]:
    """Return each arm's chance to be the best, given observations and rewards first in its sums."""
    # Import NumPy only if a policy needs it: other processes save its memory.
    from selection.policies.arithmetic.best_arm import best_of_betas

    # Fading may leave a rounding error below 0.
    best = best_of_betas(
        [
            (1.0 + max(rewards, 0.0), 1.0 + max(count - rewards, 0.0))
            for count, rewards, *_ in statistics.values()
        ]
    )
    return normalise(
        {arm: max(chance, LEAST_CHANCE) for arm, chance in zip(statistics, best, strict=True)}
    )
