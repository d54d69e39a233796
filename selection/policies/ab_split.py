"""A/B split: route weights decide, and a context is always given to the same route."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.base import (
    DECAY,
    Parameter,
    Policy,
    Prepared,
    Selection,
    down_of,
    draw_one,
    normalised,
    uniform_of,
)
from selection.policies.statistics import Statistics
from selection.reliability import Factors, redistributed


@dataclass(frozen=True, slots=True, kw_only=True)
class Assigned(Prepared):
    """Arms drawn by weight; a key's arm is found by weighted rendezvous hashing.

    Each route gets a number from the key and its own name, and the highest wins (Thaler and
    Ravishankar 1998; with weights Schindelhauer and Schomaker 2005). Where the weight of one
    changes, or one leaves, only keys that it wins or loses move; where its model gets a new
    version, its keys go on to that, and no other moves.
    """

    seed: int
    # What the routes' weights give to each arm, whatever its state.
    routed: Mapping[str, float]
    # The name of each arm's route.
    routes: Mapping[str, str]

    def assigned(self, key: str, *, uniform: float = 1.0) -> Selection:
        """Return the arm of a key; keys of an arm that is down have another one meanwhile."""

        def score(selection: Selection) -> tuple[float, str]:
            (arm,) = selection.arms
            drawn = uniform_of(f"{self.seed}:{key}\0{self.routes[arm]}")
            return self.routed[arm] / -math.log(drawn), arm

        owner = max(self.selections, key=score)
        (arm,) = owner.arms
        if arm not in self.down or uniform * self.routed[arm] < self.probabilities[arm]:
            return owner
        return max((s for s in self.selections if s.arms[0] not in self.down), key=score)

    def reweighted(self, factors: Factors) -> Assigned:
        """An arm that mostly answers keeps its keys: they are not to go to and fro with its luck.

        The others share in those of an arm that is down by their weights.
        """
        down = down_of(self.routed, factors=factors)
        chances = redistributed(self.routed, factors=dict.fromkeys(down, 0.0), spread=0.0)
        drawn = draw_one(weights=chances, probabilities=chances)
        return Assigned(
            weights=drawn.weights,
            probabilities=drawn.probabilities,
            selections=drawn.selections,
            bounds=drawn.bounds,
            down=down,
            seed=self.seed,
            routed=self.routed,
            routes=self.routes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ABSplit(Policy):
    """Ask one arm, drawn by the weights of the routes: once for each context, or each query.

    Feedback moves nothing, but tells how well each arm did; a new version starts from nothing.
    """

    name: ClassVar[str] = "ab_split"
    summary: ClassVar[str] = "splits traffic by route weight; a context keeps its route"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("seed", 0, 0, 999_999, "another one assigns contexts afresh", whole=True),
        DECAY._replace(default=0.0),
    )
    learns: ClassVar[bool] = False
    sticky: ClassVar[bool] = True

    seed: int = 0
    decay: float = 0.0
    inherit: float = 0.0

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Assigned:
        weights = normalised(arms)
        drawn = draw_one(weights=weights, probabilities=weights)
        return Assigned(
            weights=drawn.weights,
            probabilities=drawn.probabilities,
            selections=drawn.selections,
            bounds=drawn.bounds,
            seed=self.seed,
            routed=weights,
            routes=routes_of(arms),
        )


def routes_of(arms: Iterable[str]) -> dict[str, str]:
    """Return the name of each arm's route, which outlives its version: that of the model.

    A further route to the same model, which pins another version, has its place behind the name.
    """
    places: Counter[str] = Counter()
    routes: dict[str, str] = {}
    for arm in arms:
        model = arm.rpartition(":")[0]
        places[model] += 1
        # No model's name has a colon in it.
        routes[arm] = model if places[model] == 1 else f"{model}:{places[model]}"
    return routes
