"""UCB1: ask the arm that could still be the best, given how little is known of it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.reward_variance import variance_ratios
from selection.policies.arithmetic.sums import Statistics
from selection.policies.newcomers import NEWCOMERS, favour_highest, new_among
from selection.policies.policy import FLOOR, Fading, Prepared, add_floor, parameter, trust


@dataclass(frozen=True, slots=True, kw_only=True)
class UCB1(Fading):
    """The highest index: mean reward + exploration * sqrt(ratio_i * ln(n) / n_i).

    If rewards say right or wrong ratio_i is 1 (`reward_variance.py`). Then, with exploration
    sqrt(2) and nothing fading, it is UCB1 (Auer, Cesa-Bianchi and Fischer 2002); if counts fade it
    is discounted UCB (Garivier and Moulines 2011), whose 2 * sqrt(xi) is `exploration`.
    """

    name: ClassVar[str] = "ucb1"
    summary: ClassVar[str] = "asks the version that could still be best, given what is known"
    exploration: float = parameter(0.2, 0.0, 10.0, "how much not knowing an arm speaks for it")
    floor: float = parameter(0.02, *FLOOR)
    newcomers: float = parameter(*NEWCOMERS)

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        best = favour_highest(
            self.indices(statistics), new=new_among(statistics), newcomers=self.newcomers
        )
        return Prepared.draw_one(
            weights=trust(statistics), probabilities=add_floor(best, floor=self.floor)
        )

    def indices(self, statistics: Statistics) -> dict[str, float]:
        """Return each arm's index, infinite where it was never observed."""
        n = math.fsum(vector[0] for vector in statistics.values())
        # Below one observation in all its logarithm would speak against what is little known.
        log_n = math.log(max(n, 1.0))
        ratios = variance_ratios(tuple(statistics.values()))
        return {
            arm: rewards / count + self.exploration * math.sqrt(ratio * log_n / count)
            if count > 0.0
            else math.inf
            for (arm, (count, rewards, _)), ratio in zip(statistics.items(), ratios, strict=True)
        }
