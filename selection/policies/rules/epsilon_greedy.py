"""Epsilon-greedy: ask the arm of the highest mean reward, and now and then any other."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.sums import Statistics, mean_reward
from selection.policies.policy import Fading, Prepared, add_floor, evenly, highest, parameter, trust


@dataclass(frozen=True, slots=True, kw_only=True)
class EpsilonGreedy(Fading):
    """p = (1 - epsilon) * [the best mean reward] + epsilon / K (Sutton and Barto 2018, 2.2).

    Arms that tie share; an arm without any feedback is asked by exploration alone.
    """

    name: ClassVar[str] = "epsilon_greedy"
    summary: ClassVar[str] = "asks the version with the best feedback, sometimes any other"
    epsilon: float = parameter(0.1, 1e-3, 1.0, "share of queries spread evenly over all arms")

    @property
    def floor(self) -> float:
        """The share of queries that is spread evenly, by the name that it has elsewhere."""
        return self.epsilon

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        means = {arm: mean_reward(vector) for arm, vector in statistics.items()}
        seen = {arm: mean for arm, mean in means.items() if mean is not None}
        best = highest(seen) if seen else list(arms)
        return Prepared.draw_one(
            weights=trust(statistics),
            probabilities=add_floor(evenly(best, among=arms), floor=self.epsilon),
        )
