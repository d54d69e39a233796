"""What is kept of an open loop: percentiles of latency, counted from when a query was due."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import msgspec

from benchmarks.generator import Query, Recording
from benchmarks.quantiles import P99, percentile

P999 = 0.999


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


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """One recording without its first seconds, when everything warms up; moments are on the
    monotonic clock.
    """

    zero: float
    seconds: float
    queries: list[Query]
    cores: float


def load_of(recording: Recording, *, warm_up: float) -> Load:
    """Return the queries that were due after the warm-up."""
    zero = recording.zero
    queries = [
        msgspec.structs.replace(query, due=zero + query.due)
        for query in recording.queries
        if query.due >= warm_up
    ]
    begin = zero + warm_up
    return Load(
        zero=begin,
        seconds=max((query.due for query in queries), default=begin) - begin,
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
