"""SquareCB: ask arms the more rarely the less reward they promise for this very query."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selection.policies.base import Parameter
from selection.policies.features import Features, hashed, listed, named
from selection.policies.linear import SLOWLY_FADING, Contextual, Linear
from selection.policies.linucb import RIDGE
from selection.policies.newcomers import NEWCOMERS, capped
from selection.policies.statistics import Statistics

if TYPE_CHECKING:
    from selection.policies.ridge import Coefficients

MOST_BUCKETS = 32


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class GapWeighted(Contextual):
    """Inverse gap weighting: 1 / (K + gamma * gap) for all but the most promising arm."""

    coefficients: Coefficients
    gamma: float

    def chances_by(self, features: Sequence[float]) -> Mapping[str, float]:
        promised = self.coefficients.rewards((1.0, *features))
        most = max(promised)
        best, k = promised.index(most), len(promised)
        chances = [1.0 / (k + self.gamma * (most - reward)) for reward in promised]
        chances[best] = 0.0
        chances[best] = 1.0 - math.fsum(chances)
        drawn = dict(zip(self.arms, chances, strict=True))
        return capped(drawn, new=self.new, newcomers=self.newcomers)


@dataclass(frozen=True, slots=True, kw_only=True)
class SquareCB(Linear):
    """Foster and Rakhlin 2020, "Beyond UCB": a regression foretells each arm's reward, and arms are
    drawn by how far they fall behind the best, with gamma growing as the root of the labels.

    The regression has coefficients that all arms share, and each arm's own deviations from them,
    which ridge draws to 0. Once some arm is known, those without feedback get the share `newcomers`
    at most. Features beyond `buckets`, and those that come by name, are hashed.
    """

    name: ClassVar[str] = "squarecb"
    summary: ClassVar[str] = "asks by how much reward the query's features promise of each version"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter(
            "dimensions",
            0,
            0,
            1024,
            "how many features there are; 0: they come by name",
            whole=True,
        ),
        Parameter(
            "buckets",
            MOST_BUCKETS,
            1,
            MOST_BUCKETS,
            "how many numbers they are hashed to",
            whole=True,
        ),
        Parameter("gamma", 30.0, 0.1, 1e4, "how soon arms that promise less are asked rarely"),
        RIDGE,
        NEWCOMERS,
        *SLOWLY_FADING,
    )

    dimensions: int = 0
    buckets: int = MOST_BUCKETS
    gamma: float = 30.0

    @property
    def coefficients(self) -> int:
        return 1 + (min(self.dimensions, self.buckets) or self.buckets)

    def encode(self, features: Features) -> tuple[float, ...]:
        if self.dimensions == 0:
            return named(features, buckets=self.buckets)
        numbers = listed(features, dimensions=self.dimensions)
        if self.dimensions <= self.buckets:
            return numbers
        return hashed(numbers, buckets=self.buckets)

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Contextual:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.ridge import Coefficients

        labels = math.fsum(vector[0] for vector in statistics.values())
        return GapWeighted(
            **self.parts(statistics),
            coefficients=Coefficients.of(
                tuple(statistics.values()), dimensions=self.coefficients, ridge=self.ridge
            ),
            gamma=self.gamma * math.sqrt(max(labels, 0.0)),
        )
