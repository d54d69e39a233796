"""Thompson sampling: ask each arm as often as it is likely to be the best."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from selection.policies.base import (
    FADING,
    LOWEST_EXPONENT,
    Parameter,
    Policy,
    Prepared,
    draw_one,
    floored,
    normalised,
)
from selection.policies.statistics import Statistics, Vector

LEAST_CHANCE = math.exp(LOWEST_EXPONENT)

# What is assumed of the mean and variance of rewards before any is seen, in Murphy's notation
# (2007, "Conjugate Bayesian analysis of the Gaussian distribution"): as much as one reward tells,
# from anywhere between 0 and 1.
MU_0, KAPPA_0, ALPHA_0, BETA_0 = 0.5, 1.0, 1.0, 1.0 / 12.0


class Student(NamedTuple):
    """A t distribution: what is known of the mean of Gaussian rewards."""

    mean: float
    scale: float
    freedom: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Thompson(Policy):
    """Probability matching (Thompson 1933), with each arm's exact chance of being the best.

    Rewards in [0, 1] count as fractions of a success: Beta(1 + successes, 1 + failures). With
    `gaussian` they are normal with unknown mean and variance (Honda and Takemura 2014). Where
    observations fade it is discounted Thompson sampling (Raj and Kalyani 2017). Instead of drawing
    from each posterior, the chances are integrated once for a state, so that those logged are
    exact.
    """

    name: ClassVar[str] = "thompson"
    summary: ClassVar[str] = "asks each version as often as it is likely to be the best"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "gaussian",
            0,
            0,
            1,
            "with 1, rewards are real numbers rather than right or wrong",
            whole=True,
        ),
        Parameter("floor", 0.02, 0.0, 1.0, "share of queries spread evenly over all arms"),
        *FADING,
    )

    gaussian: int = 0
    floor: float = 0.02

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.best_arm import best_of_betas, best_of_students

        vectors = statistics.values()
        best = (
            best_of_students([student(vector) for vector in vectors])
            if self.gaussian
            else best_of_betas([beta(vector) for vector in vectors])
        )
        weights = normalised(
            {arm: max(chance, LEAST_CHANCE) for arm, chance in zip(statistics, best, strict=True)}
        )
        return draw_one(weights=weights, probabilities=floored(weights, floor=self.floor))


def beta(vector: Vector) -> tuple[float, float]:
    """Return the parameters of the Beta distribution of an arm's mean reward."""
    count, rewards, _ = vector
    # What fades may leave a rounding error below nothing.
    return 1.0 + max(rewards, 0.0), 1.0 + max(count - rewards, 0.0)


def student(vector: Vector) -> Student:
    """Return the posterior of an arm's mean reward under the normal-inverse-gamma prior."""
    count, rewards, squares = vector
    kappa, alpha = KAPPA_0 + count, ALPHA_0 + count / 2.0
    mean = (KAPPA_0 * MU_0 + rewards) / kappa
    spread = 0.0
    if count > 0.0:
        average = rewards / count
        spread = max(squares - rewards * average, 0.0)
        spread += KAPPA_0 * count * (average - MU_0) ** 2 / kappa
    scale = math.sqrt((BETA_0 + spread / 2.0) / (alpha * kappa))
    return Student(mean=mean, scale=scale, freedom=2.0 * alpha)
