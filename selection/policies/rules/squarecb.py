"""SquareCB: ask arms the more rarely the less reward they promise for the query's features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selection.policies.arithmetic.sums import Statistics
from selection.policies.newcomers import limit_newcomers
from selection.policies.rules.contextual import Contextual, Linear

if TYPE_CHECKING:
    from selection.policies.arithmetic.ridge import Array


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GapWeighted(Contextual):
    """Inverse gap weighting: 1 / (K + gamma * gap) for all but the most promising arm."""

    coefficients: Array
    gamma: float

    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        promised: list[float] = (self.coefficients @ (1.0, *features)).tolist()
        most = max(promised)
        best, k = promised.index(most), len(promised)
        chances = [1.0 / (k + self.gamma * (most - reward)) for reward in promised]
        chances[best] = 0.0
        chances[best] = 1.0 - math.fsum(chances)
        drawn = dict(zip(self.arms, chances, strict=True))
        return limit_newcomers(drawn, new=self.new, newcomers=self.newcomers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareCB(Linear):
    """Draw arms by how far a regression predicts them behind the best, with a growing gamma.

    Foster and Rakhlin 2020, "Beyond UCB".
    """

    name: ClassVar[str] = "squarecb"

    gamma: float = 30.0

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # Import NumPy only if a policy needs it: other processes save its memory.
        from selection.policies.arithmetic.ridge import coefficients_of

        labels = math.fsum(vector[0] for vector in statistics.values())
        return self.prepared(
            GapWeighted,
            statistics,
            coefficients=coefficients_of(
                tuple(statistics.values()), dimensions=self.coefficients, ridge=self.ridge
            ),
            gamma=self.gamma * math.sqrt(max(labels, 0.0)),
        )
