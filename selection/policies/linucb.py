"""LinUCB: ask the arm that could be the best for what is known of this very query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.base import Parameter, floored
from selection.policies.linear import SLOWLY_FADING, Contextual
from selection.policies.newcomers import NEWCOMERS, favoured
from selection.policies.statistics import Statistics
from selection.policies.upper_bounds import ALPHA_WORDS, DIMENSIONS, FLOOR, Bounded, UpperBounds

RIDGE = Parameter("ridge", 1.0, 1e-3, 1e3, "how strongly coefficients are drawn to 0")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Optimistic(Bounded):
    """The arm of the highest upper bound, others by the floor alone."""

    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        bounds = self.bounds_of.upper_bounds((1.0, *features), alpha=self.alpha)
        scores = dict(zip(self.arms, bounds, strict=True))
        best = favoured(scores, new=self.new, newcomers=self.newcomers)
        return floored(best, floor=self.floor)


@dataclass(frozen=True, slots=True, kw_only=True)
class LinUCB(UpperBounds):
    """Li, Chu, Langford and Schapire 2010, disjoint: for each arm ridge regression of reward on
    features x, of which the first is a constant 1, A = ridge * I + sum(x x'), b = sum(reward * x),
    theta = A^-1 b, and then the highest theta' x + alpha * sqrt(x' A^-1 x). Arms that tie share.
    Where the sums fade it is discounted (Russac, Vernade and Cappé 2019). Once some arm is known,
    those without feedback get the share `newcomers` at most.
    """

    name: ClassVar[str] = "linucb"
    summary: ClassVar[str] = "asks the version that could be best for the query's features"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        DIMENSIONS,
        Parameter("alpha", 0.5, 0.0, 10.0, ALPHA_WORDS),
        RIDGE,
        FLOOR,
        NEWCOMERS,
        *SLOWLY_FADING,
    )

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.ridge import Ridge

        return Optimistic(
            **self.parts(statistics),
            bounds_of=Ridge.of(
                tuple(statistics.values()), dimensions=self.coefficients, ridge=self.ridge
            ),
            alpha=self.alpha,
            floor=self.floor,
        )
