"""The worst stretches of a load, and what went on during them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from benchmarks.generator import Query
from benchmarks.latencies import Load
from benchmarks.quantiles import percentile

# Queries that belong to a spike took this long at least.
SPIKE_SECONDS = 0.010
WORST = 8


class Action(msgspec.Struct, frozen=True, array_like=True):
    """One thing that was done to the stack meanwhile, from `begin` to `end` (monotonic clock)."""

    what: str
    begin: float
    end: float


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """How often something was done, and what it took: median and maximum in seconds."""

    what: str
    times: int
    median: float
    max: float


class Spike(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which queries were slow: seconds after the load began, how long it went on, the
    slowest of its `queries`, and what went on `during` it.
    """

    at: float
    seconds: float
    worst: float
    queries: int
    during: list[str]


def spikes_of(load: Load, *, actions: Sequence[Action]) -> list[Spike]:
    """Return the stretches in which queries were slow, the worst first.

    Slow queries belong to one stretch as long as another one was due before they were answered.
    """
    stretches: list[list[Query]] = []
    end = float("-inf")
    for query in load.queries:
        if query.took < SPIKE_SECONDS:
            continue
        if query.due > end:
            stretches.append([])
        stretches[-1].append(query)
        end = max(end, query.due + query.took)
    return worst(_spike(stretch, zero=load.zero, actions=actions) for stretch in stretches)


def worst(spikes: Iterable[Spike]) -> list[Spike]:
    return sorted(spikes, key=lambda spike: -spike.worst)[:WORST]


def _spike(stretch: Sequence[Query], *, zero: float, actions: Sequence[Action]) -> Spike:
    begin, end = stretch[0].due, max(query.due + query.took for query in stretch)
    during = {action.what for action in actions if action.begin <= end and action.end >= begin}
    return Spike(
        at=begin - zero,
        seconds=end - begin,
        worst=max(query.took for query in stretch),
        queries=len(stretch),
        during=sorted(during),
    )


def doings_of(actions: Sequence[Action]) -> list[Doing]:
    """Sum up what was done, by what it was."""
    found = []
    for what in dict.fromkeys(action.what for action in actions):
        took = [action.end - action.begin for action in actions if action.what == what]
        found.append(Doing(what=what, times=len(took), median=percentile(took, 0.5), max=max(took)))
    return found
