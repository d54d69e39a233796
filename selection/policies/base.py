"""What a selection policy is: whom to ask, how far to trust each, what feedback teaches (§5).

A policy is pure: it holds its parameters and nothing else, reads no clock and draws no random
number. State comes in, a uniform number comes in, and what it learns goes out as sums to be
added to log-weights, so that any number of processes can add theirs without a lock.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import ClassVar, NamedTuple

# e**-700 is still a normal float: shares of hopeless arms stay positive.
LOWEST_EXPONENT = -700.0


@dataclass(frozen=True, slots=True)
class State:
    """What one application has learned in one context, by arm (`model:version`)."""

    log_weights: Mapping[str, float] = field(default_factory=dict)


class Selection(NamedTuple):
    """The arms to ask, and the chance with which each of them was going to be asked."""

    arms: tuple[str, ...]
    propensities: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A policy applied to one state and one set of arms: selecting is then one look-up.

    `weights` say how far each arm is trusted, as shares that sum to 1; `probabilities` are the
    chances of each to be asked. Both are in the order of the arms.
    """

    weights: Mapping[str, float]
    probabilities: Mapping[str, float]
    selections: tuple[Selection, ...]
    bounds: tuple[float, ...]

    def select(self, uniform: float) -> Selection:
        """Return whom to ask, given a number drawn uniformly from [0, 1)."""
        return self.selections[bisect_right(self.bounds, uniform)]


class Parameter(NamedTuple):
    """A number that a policy takes: its default, its range (both ends allowed), what it does."""

    name: str
    default: float
    low: float
    high: float
    meaning: str


class Policy(ABC):
    """One way to choose among arms and to learn from feedback.

    `arms` is always a mapping from the arms that may be asked to the weights of their routes.
    Arms that a state doesn't know yet join at the mean log-weight of those it knows.
    """

    name: ClassVar[str]
    summary: ClassVar[str]
    parameters: ClassVar[tuple[Parameter, ...]] = ()
    learns: ClassVar[bool] = True

    @abstractmethod
    def prepare(self, state: State, arms: Mapping[str, float]) -> Prepared:
        """Do once, for a state, all the arithmetic that its queries share; some arm is there."""

    @abstractmethod
    def observe(
        self, *, losses: Mapping[str, float], propensities: Mapping[str, float]
    ) -> dict[str, float]:
        """Return what to add to the log-weights, given losses in [0, 1] of arms that were asked.

        `propensities` are the chances that those arms had, at the time, of being asked.
        """


def resolve(log_weights: Mapping[str, float], arms: Iterable[str]) -> dict[str, float]:
    """Return a log-weight for each arm: its own, or the mean of the arms that have one."""
    known = {arm: log_weights.get(arm) for arm in arms}
    present = [weight for weight in known.values() if weight is not None]
    mean = math.fsum(present) / len(present) if present else 0.0
    return {arm: mean if weight is None else weight for arm, weight in known.items()}


def shares(log_weights: Mapping[str, float]) -> dict[str, float]:
    """Return the softmax: positive shares that sum to 1, however far apart the log-weights are."""
    highest = max(log_weights.values())
    scaled = {
        arm: math.exp(max(weight - highest, LOWEST_EXPONENT)) for arm, weight in log_weights.items()
    }
    return normalised(scaled)


def normalised(weights: Mapping[str, float]) -> dict[str, float]:
    """Return the weights divided by their sum; equal shares where nothing weighs anything."""
    total = math.fsum(weights.values())
    if total <= 0.0:
        return dict.fromkeys(weights, 1.0 / len(weights))
    return {arm: weight / total for arm, weight in weights.items()}


def draw_one(*, weights: Mapping[str, float], probabilities: Mapping[str, float]) -> Prepared:
    """Prepare a policy that asks a single arm, drawn by its probability."""
    drawn = {arm: chance for arm, chance in probabilities.items() if chance > 0.0}
    return Prepared(
        weights=weights,
        probabilities=probabilities,
        selections=tuple(Selection((arm,), (chance,)) for arm, chance in drawn.items()),
        # The last arm takes what rounding leaves, so that every number below 1 finds an arm.
        bounds=tuple(accumulate(drawn.values()))[:-1],
    )


def ask_all(*, weights: Mapping[str, float]) -> Prepared:
    """Prepare a policy that asks every arm, every time."""
    # A whole 1 takes one byte in a receipt where 1.0 takes nine.
    everyone = Selection(tuple(weights), (1,) * len(weights))
    return Prepared(
        weights=weights,
        probabilities=dict.fromkeys(weights, 1.0),
        selections=(everyone,),
        bounds=(),
    )
