"""A/B split: route weights decide, and a key or a context is always given to the same route."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.assignment import owner_of, routes_of
from selection.policies.arithmetic.sums import Statistics
from selection.policies.policy import (
    DECAY,
    Policy,
    Prepared,
    Selection,
    down_of,
    normalise,
    parameter,
)
from selection.reliability import Factors, redistributed


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyedArms(Prepared):
    """Arms drawn by weight; a key stays with its route, and follows its model's new versions."""

    seed: int
    # The share of each arm by the routes' weights, whatever its state.
    routed: Mapping[str, float]
    # The name of each arm's route.
    routes: Mapping[str, str]

    def assigned(
        self, key: str, *, uniform: float = 1.0, features: Sequence[float] = ()
    ) -> Selection:
        """Return the arm of a key; keys of an arm that is down have another one meanwhile."""
        seeded = f"{self.seed}:{key}"
        arm = owner_of(seeded, self.routed, routes=self.routes)
        if arm in self.down and uniform * self.routed[arm] >= self.probabilities[arm]:
            up = {other: w for other, w in self.routed.items() if other not in self.down}
            if any(up.values()):
                arm = owner_of(seeded, up, routes=self.routes)
        return next(s for s in self.selections if s.arms[0] == arm)

    def reweighted(self, factors: Factors) -> KeyedArms:
        """Share out the keys of arms that are down; an arm that mostly answers keeps its own."""
        down = down_of(self.routed, factors=factors)
        chances = redistributed(self.routed, factors=dict.fromkeys(down, 0.0), spread=0.0)
        return KeyedArms.draw_one(
            weights=chances,
            probabilities=chances,
            down=down,
            record=self.record,
            seed=self.seed,
            routed=self.routed,
            routes=self.routes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ABSplit(Policy):
    """Ask one arm, drawn by route weights for each key or context, or for each query."""

    name: ClassVar[str] = "ab_split"
    summary: ClassVar[str] = "splits traffic by route weight; a key or a context keeps its route"
    learns: ClassVar[bool] = False
    sticky: ClassVar[bool] = True

    seed: int = parameter(0, 0, 999_999, "another one assigns keys and contexts afresh", whole=True)
    decay: float = parameter(0.0, *DECAY)
    inherit: float = 0.0

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> KeyedArms:
        weights = normalise(arms)
        return KeyedArms.draw_one(
            weights=weights,
            probabilities=weights,
            seed=self.seed,
            routed=weights,
            routes=routes_of(arms),
        )
