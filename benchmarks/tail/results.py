"""What is kept of a load: percentiles, the worst stretches, and what went on during them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain

import msgspec
import numpy as np

from benchmarks.figures.quantiles import P99, percentile
from benchmarks.tail.generator import Recording

P999 = 0.999
# Queries that belong to a spike took this long at least.
SPIKE_SECONDS = 0.010
WORST = 8


class Query(msgspec.Struct, frozen=True, array_like=True):
    """`due` is on the monotonic clock; `took` is counted from then, `late` until it was sent."""

    due: float
    took: float
    late: float
    status: int
    default: bool


class Action(msgspec.Struct, frozen=True, array_like=True):
    """One thing that was done to the stack meanwhile, from `begin` to `end` (monotonic clock)."""

    what: str
    begin: float
    end: float


class Spike(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch in which queries were slow: seconds after the load began, how long it went on, the
    slowest of its `queries`, and what went on `during` it.
    """

    at: float
    seconds: float
    worst: float
    queries: int
    during: list[str]


class Tail(msgspec.Struct, frozen=True, kw_only=True):
    """Latencies in seconds, counted from when a query was due. `late` is what the generator itself
    took of them: the P99.9 of the time from due to sent. `cores` is what it kept busy.
    """

    queries: int
    rate: float
    p50: float
    p99: float
    p999: float
    max: float
    errors: int
    defaults: int
    late: float
    cores: float


class Doing(msgspec.Struct, frozen=True, kw_only=True):
    """How often something was done, and what it took: median and maximum in seconds."""

    what: str
    times: int
    median: float
    max: float


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One recording without its first seconds, when everything warms up."""

    zero: float
    seconds: float
    queries: list[Query]
    cores: float


def load_of(recording: Recording, *, warm_up: float) -> Load:
    """Return the queries that were due after the warm-up."""
    due = np.frombuffer(recording.due)
    took, late = np.frombuffer(recording.took), np.frombuffer(recording.late)
    status = np.frombuffer(recording.status, dtype=np.uint16)
    rows = zip(
        *((due + recording.zero).tolist(), took.tolist(), late.tolist(), status.tolist()),
        recording.default,
        strict=True,
    )
    begin = recording.zero + warm_up
    queries = [
        Query(moment, seconds, behind, code, bool(default))
        for moment, seconds, behind, code, default in rows
        if moment >= begin
    ]
    last = max((query.due for query in queries), default=begin)
    return Load(
        zero=begin,
        seconds=last - begin,
        queries=queries,
        cores=recording.cpu_seconds / recording.elapsed,
    )


def tail_of(loads: Sequence[Load]) -> Tail:
    """Sum up several loads of one kind as if they had been one."""
    queries = list(chain.from_iterable(load.queries for load in loads))
    took = sorted(query.took for query in queries)
    return Tail(
        queries=len(queries),
        rate=len(queries) / sum(load.seconds for load in loads),
        p50=percentile(took, 0.5),
        p99=percentile(took, P99),
        p999=percentile(took, P999),
        max=percentile(took, 1.0),
        errors=sum(query.status != 200 for query in queries),
        defaults=sum(query.default for query in queries),
        late=percentile([query.late for query in queries], P999),
        cores=sum(load.cores for load in loads) / len(loads),
    )


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
    found = [_spike(stretch, zero=load.zero, actions=actions) for stretch in stretches]
    return worst(found)


def worst(spikes: Iterable[Spike]) -> list[Spike]:
    return sorted(spikes, key=lambda spike: -spike.worst)[:WORST]


def _spike(stretch: Sequence[Query], *, zero: float, actions: Sequence[Action]) -> Spike:
    begin, end = stretch[0].due, max(query.due + query.took for query in stretch)
    during = [action.what for action in actions if action.begin <= end and action.end >= begin]
    return Spike(
        at=begin - zero,
        seconds=end - begin,
        worst=max(query.took for query in stretch),
        queries=len(stretch),
        during=sorted(set(during)),
    )


def doings_of(actions: Sequence[Action]) -> list[Doing]:
    """Sum up what was done, by what it was."""
    found = []
    for what in dict.fromkeys(action.what for action in actions):
        took = [action.end - action.begin for action in actions if action.what == what]
        found.append(Doing(what=what, times=len(took), median=percentile(took, 0.5), max=max(took)))
    return found
