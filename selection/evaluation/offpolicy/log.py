"""Logged feedback as columns: whom each query asked, by what chance, what that earned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selection.evaluation.logged import LoggedQuery

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Queries in the order in which their feedback was counted, n of them, over K arms.

    Arrays of n x K: `asked`; `propensities` of the arms asked, 1 elsewhere; their `rewards`, 0
    elsewhere; and `possible`, where an arm had a chance. `contexts` (n) are places in
    `context_names`.
    """

    queries: Sequence[LoggedQuery]
    arms: tuple[str, ...]
    asked: Flags
    propensities: Floats
    rewards: Floats
    possible: Flags
    contexts: Indices
    context_names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def place(self) -> dict[str, int]:
        return {arm: k for k, arm in enumerate(self.arms)}

    @property
    def weights(self) -> Floats:
        """1 / propensity of the arms that were asked, 0 of the others: n x K."""
        return np.where(self.asked, 1.0 / self.propensities, 0.0)


def log_of(queries: Sequence[LoggedQuery], *, arms: Sequence[str] = ()) -> Log:
    """Return the columns of these queries; `arms` come first, then others in order of appearance,
    those that were only routed too.

    Each query asked some arm, each arm of which had a positive chance.
    """
    place = {arm: k for k, arm in enumerate(dict.fromkeys(arms))}
    for query in queries:
        for entry in query.asked:
            place.setdefault(entry.arm, len(place))
        for arm in query.routed:
            place.setdefault(arm, len(place))
    shape = (len(queries), len(place))
    asked = np.zeros(shape, dtype=np.bool_)
    propensities, rewards = np.ones(shape), np.zeros(shape)
    possible = np.zeros(shape, dtype=np.bool_)
    contexts: dict[str, int] = {}
    numbers = np.empty(len(queries), dtype=np.intp)
    for row, query in enumerate(queries):
        numbers[row] = contexts.setdefault(query.context, len(contexts))
        for entry in query.asked:
            k = place[entry.arm]
            asked[row, k] = True
            propensities[row, k] = query.chance_of(entry)
            rewards[row, k] = entry.reward
        possible[row, _with_a_chance(query, place=place)] = True
    return Log(
        queries=queries,
        arms=tuple(place),
        asked=asked,
        propensities=propensities,
        rewards=rewards,
        possible=possible,
        contexts=numbers,
        context_names=tuple(contexts),
    )


def _with_a_chance(query: LoggedQuery, *, place: Mapping[str, int]) -> list[int]:
    """Return the arms that were asked, and, where chance chose, those that it could have chosen."""
    if query.certain:
        return [place[entry.arm] for entry in query.asked]
    others = (place[arm] for arm in query.routed) if query.routed else place.values()
    return [*others, *(place[entry.arm] for entry in query.asked)]
