"""Logged feedback as columns: whom each query asked, by what chance, what that earned."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from selection.context_names import GLOBAL_CONTEXT
from selection.evaluation.logged import LoggedQuery

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """Queries in the order in which their feedback was counted, n of them, over K arms.

    `propensities` are 1, and `rewards` 0, of arms not asked. By row, `drawn`: one arm was asked by
    chance; `contexts` are places in `context_names`; `people` are numbers of whom each query may
    have kept with one arm: its key's, else its context's, else nobody but itself.
    """

    queries: Sequence[LoggedQuery]
    arms: tuple[str, ...]
    asked: Flags
    propensities: Floats
    rewards: Floats
    served: Flags
    possible: Flags
    drawn: Flags
    contexts: Indices
    people: Indices
    context_names: tuple[str, ...]
    keyed: bool = False

    def __len__(self) -> int:
        return len(self.queries)

    @property
    def place(self) -> dict[str, int]:
        return {arm: k for k, arm in enumerate(self.arms)}


def log_of(queries: Sequence[LoggedQuery], *, arms: Sequence[str] = ()) -> Log:
    """Return the columns of these queries; `arms` come first, others as they appear."""
    place = {arm: k for k, arm in enumerate(dict.fromkeys(arms))}
    for query in queries:
        for entry in query.asked:
            place.setdefault(entry.arm, len(place))
        for arm in query.routed:
            place.setdefault(arm, len(place))
    shape = (len(queries), len(place))
    asked, served = np.zeros(shape, dtype=np.bool_), np.zeros(shape, dtype=np.bool_)
    propensities, rewards = np.ones(shape), np.zeros(shape)
    drawn = np.zeros(len(queries), dtype=np.bool_)
    contexts: dict[str, int] = {}
    numbers = np.empty(len(queries), dtype=np.intp)
    for row, query in enumerate(queries):
        numbers[row] = contexts.setdefault(query.context, len(contexts))
        drawn[row] = not query.certain
        for entry in query.asked:
            k = place[entry.arm]
            asked[row, k] = True
            propensities[row, k] = 1.0 if query.certain else entry.propensity
            rewards[row, k] = entry.reward
        served[row, [place[arm] for arm in in_service(query)]] = True
    return Log(
        queries=queries,
        arms=tuple(place),
        asked=asked,
        propensities=propensities,
        rewards=rewards,
        served=served,
        possible=asked | (served & drawn[:, None]),
        drawn=drawn,
        contexts=numbers,
        people=people_of(queries),
        context_names=tuple(contexts),
        keyed=any(query.key for query in queries),
    )


def people_of(queries: Sequence[LoggedQuery]) -> Indices:
    """Return the number of each query's person."""
    numbers: dict[tuple[str, object], int] = {}
    people = [_person(query, row=row) for row, query in enumerate(queries)]
    return np.array([numbers.setdefault(one, len(numbers)) for one in people], dtype=np.intp)


def _person(query: LoggedQuery, *, row: int) -> tuple[str, object]:
    if query.key:
        return "key", query.key
    return ("nobody", row) if query.context == GLOBAL_CONTEXT else ("context", query.context)


def in_service(query: LoggedQuery) -> list[str]:
    """Return the arms that were in service when a query came; `routed` tells of its feedback."""
    asked = [entry.arm for entry in query.asked]
    gone = {_model_of(arm) for arm in asked if arm not in query.routed}
    served = (arm for arm in query.routed if _model_of(arm) not in gone)
    return list(dict.fromkeys((*served, *asked)))


def _model_of(arm: str) -> str:
    return arm.rpartition(":")[0]
