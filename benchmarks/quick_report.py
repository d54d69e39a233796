"""What the rounds of `make bench` amount to: medians and spreads, and what went on inside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from statistics import median

import msgspec

from benchmarks.counters import Change
from benchmarks.processes import Memory, of_replicas
from benchmarks.study import QUIET
from benchmarks.tables import DASH, Rows, table
from benchmarks.wrk import WrkResult

# What Clipper's own counters tell of a round: the column, the field, and how it is shown.
INSIDE = (
    ("hits", "hit_ratio", "{:.1%}"),
    ("defaults", "default_ratio", "{:.2%}"),
    ("late", "late_ratio", "{:.2%}"),
    ("batch", "mean_batch", "{:.1f}"),
    ("batch ms", "mean_batch_ms", "{:.2f}"),
    ("model ms", "mean_model_ms", "{:.2f}"),
)
CORES = ("server", "replicas", "redis", "wrk", "elsewhere")


class Round(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One scenario once: what wrk saw, cores kept busy by role, how Clipper's counters moved.

    `batches` are counts by version and the most queries that so many batches had.
    """

    wrk: WrkResult
    cores: dict[str, float]
    hit_ratio: float | None = None
    default_ratio: float | None = None
    late_ratio: float | None = None
    mean_batch: float | None = None
    mean_batch_ms: float | None = None
    mean_model_ms: float | None = None
    batches: dict[str, dict[str, int]] = {}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """Medians of the rounds. The CPU time of the server for one query, in µs, is what busy
    neighbours disturb least; `disturbed_rounds` had to share the machine with them.
    """

    name: str
    application: str | None
    connections: int
    queries_per_second: float
    ratio_to_echo: float | None
    p50_ms: float
    p99_ms: float
    errors: int
    server_cpu_us_per_query: float
    disturbed_rounds: int
    rounds: list[Round]


class Quick(msgspec.Struct, frozen=True, kw_only=True):
    scenarios: list[Summary]
    memory_before_mib: dict[str, Memory]
    memory_after_mib: dict[str, Memory]


def inside(
    wrk: WrkResult, *, cores: Mapping[str, float], change: Change, application: str
) -> Round:
    return Round(
        wrk=wrk,
        cores=dict(cores),
        hit_ratio=change.hit_ratio,
        default_ratio=change.default_ratio(application),
        late_ratio=change.late_ratio(application),
        mean_batch=change.mean_batch,
        mean_batch_ms=change.mean_batch_ms,
        mean_model_ms=change.mean_model_ms,
        batches={
            version: {f"{bound:g}": count for bound, count in change.batches(of=version).items()}
            for version in change.versions()
        },
    )


def summed_up(
    name: str,
    *,
    connections: int,
    application: str | None,
    rounds: Sequence[Round],
    yardstick: Sequence[float] | None,
) -> Summary:
    """`yardstick` are the echo's rates: a slow round is slow for both."""
    rates = [one.wrk.rate for one in rounds]
    server = "web" if application else "echo"
    ratio = None
    if yardstick is not None:
        ratio = median(ours / theirs for ours, theirs in zip(rates, yardstick, strict=True))
    return Summary(
        name=name,
        application=application,
        connections=connections,
        queries_per_second=median(rates),
        ratio_to_echo=ratio,
        p50_ms=median(one.wrk.p50_us for one in rounds) / 1e3,
        p99_ms=median(one.wrk.p99_us for one in rounds) / 1e3,
        errors=sum(one.wrk.errors for one in rounds),
        server_cpu_us_per_query=median(
            1e6 * one.cores.get(server, 0.0) / one.wrk.rate for one in rounds
        ),
        disturbed_rounds=sum(one.cores["elsewhere"] > QUIET for one in rounds),
        rounds=list(rounds),
    )


def throughput(result: Quick) -> Rows:
    header = ("scenario", "conn", "queries/s", "spread", "x echo", "p50 ms", "p99 ms", "errors")
    return [header, *map(_throughput_of, result.scenarios)]


def _throughput_of(one: Summary) -> Sequence[str]:
    rates = [found.wrk.rate for found in one.rounds]
    return (
        one.name,
        str(one.connections),
        f"{one.queries_per_second:,.0f}",
        f"{min(rates):,.0f}-{max(rates):,.0f}",
        DASH if one.ratio_to_echo is None else f"{one.ratio_to_echo:.2f}",
        f"{one.p50_ms:.2f}",
        f"{one.p99_ms:.2f}",
        str(one.errors),
    )


def notes(result: Quick) -> str:
    parts = [_inside(result), doubts(result), "Sizes of batches", _batches(result), _memory(result)]
    return "\n\n".join(filter(None, parts))


def _inside(result: Quick) -> str:
    """What went on inside: cache, defaults, batches, and whose cores were busy."""
    columns = [column for column, _, _ in INSIDE]
    return table([("scenario", *columns, "server us", *CORES), *map(_inside_of, result.scenarios)])


def _inside_of(one: Summary) -> Sequence[str]:
    numbers: Sequence[str] = (DASH,) * len(INSIDE)
    if one.application is not None:
        numbers = [
            text.format(median(map(attrgetter(field), one.rounds))) for _, field, text in INSIDE
        ]
    server = "web" if one.application else "echo"
    cores = [
        [found.cores.get(role, 0.0) for found in one.rounds]
        for role in (server, "redis", "wrk", "elsewhere")
    ]
    cores.insert(1, [of_replicas(found.cores) for found in one.rounds])
    shares = (f"{median(values):.0%}" for values in cores)
    return (one.name, *numbers, f"{one.server_cpu_us_per_query:.0f}", *shares)


def doubts(result: Quick) -> str:
    """Say so where other processes had a part in the result."""
    disturbed = sum(one.disturbed_rounds for one in result.scenarios)
    if not disturbed:
        return ""
    runs = sum(len(one.rounds) for one in result.scenarios)
    return (
        f"Doubtful: in {disturbed} of {runs} runs other processes kept more than {QUIET:.0%} of a "
        "core busy. Rates, latencies and ratios may be theirs as much as Clipper's; run it again "
        "on a quiet machine."
    )


def _batches(result: Quick) -> str:
    """The sizes of the batches of each version in each scenario's last round."""
    lines = [
        (f"{one.name}, {version}", "  ".join(_shares(batches)))
        for one in result.scenarios
        for version, batches in one.rounds[-1].batches.items()
    ]
    width = max((len(name) for name, _ in lines), default=0)
    return "\n".join(f"{name.ljust(width)}  {sizes}" for name, sizes in lines)


def _shares(batches: Mapping[str, int]) -> list[str]:
    total = sum(batches.values())
    return [f"≤{bound}: {count / total:.0%}" for bound, count in batches.items()]


def _memory(result: Quick) -> str:
    header = ("memory in MiB", "processes", "RSS before", "RSS after", "PSS before", "PSS after")
    rows: Rows = [header]
    for role, after in result.memory_after_mib.items():
        before = result.memory_before_mib.get(role)
        old = (DASH, DASH) if before is None else (f"{before.rss:.0f}", f"{before.pss:.0f}")
        new = f"{after.rss:.0f}", f"{after.pss:.0f}"
        rows.append((role, str(after.count), old[0], new[0], old[1], new[1]))
    return table(rows)
