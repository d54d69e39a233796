"""What must hold of the tail, and the table that shows it beside the echo server's."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.figures.claims import Claim, number
from benchmarks.report import table
from benchmarks.tail.bench import Measured
from benchmarks.tail.results import Spike, Tail
from benchmarks.tail.scenarios import STEADY

STEADY_P99_SECONDS = 0.020
# More of the machine kept busy by others than this makes a tail doubtful.
QUIET_CORES = 0.1
# An echo server that is as slow as this says that the machine or the generator was.
ECHO_P999_SECONDS = 0.020
# A generator that sends as late as this is a part of what it measures.
LATE_SECONDS = 0.005
HEADER = (
    *("scenario", "p50", "p99", "p99.9", "max", "p99.9 : echo", "p99.9 : steady"),
    *("defaults", "errors"),
)


def claims(measured: Sequence[Measured]) -> list[Claim]:
    """Generous bounds: what an application would notice, and not what a good minute shows."""
    return [claim for one in measured for claim in _claims_of(one)]


def _claims_of(one: Measured) -> list[Claim]:
    tail = one.tail
    found = [
        Claim(
            figure=one.name,
            what="p99.9",
            seen=tail.p999 * 1e3,
            at_most=one.objective * 1e3,
            unit=" ms",
        ),
        Claim(figure=one.name, what="default answers", seen=tail.defaults, at_most=0),
        Claim(figure=one.name, what="errors", seen=tail.errors, at_most=0),
    ]
    if one.name == STEADY:
        limit = STEADY_P99_SECONDS * 1e3
        found.insert(
            0, Claim(figure=STEADY, what="p99", seen=tail.p99 * 1e3, at_most=limit, unit=" ms")
        )
    return found


def rows(measured: Sequence[Measured]) -> list[tuple[str, ...]]:
    """Return a table: header, the echo server in the rounds of `steady`, then every scenario."""
    steady = next((one for one in measured if one.name == STEADY), None)
    found: list[tuple[str, ...]] = [HEADER]
    if steady is not None:
        found.append(("bare echo server", *_latencies(steady.echo), "", "", "", ""))
    for one in measured:
        ratio = "" if steady in (None, one) else _ratio(one.tail.p999, steady.tail.p999)
        found.append(
            (
                one.title,
                *_latencies(one.tail),
                _ratio(one.tail.p999, one.echo.p999),
                ratio,
                number(one.tail.defaults),
                number(one.tail.errors),
            )
        )
    return found


def _latencies(tail: Tail) -> tuple[str, ...]:
    return tuple(
        f"{number(seconds * 1e3)} ms" for seconds in (tail.p50, tail.p99, tail.p999, tail.max)
    )


def _ratio(value: float, yardstick: float) -> str:
    return number(value / yardstick)


def as_text(measured: Sequence[Measured]) -> str:
    return table(rows(measured), left=1)


def spikes(measured: Sequence[Measured], *, each: int = 3) -> str:
    """Return the worst stretches of each scenario, with what went on during them."""
    return "\n".join(
        f"{one.title}: {_spike(spike)}" for one in measured for spike in one.spikes[:each]
    )


def _spike(spike: Spike) -> str:
    during = ", ".join(spike.during) or "nothing of ours"
    return (
        f"{spike.worst * 1e3:.0f} ms at {spike.at:.1f} s, {spike.queries} slow queries in "
        f"{spike.seconds * 1e3:.0f} ms, during {during}"
    )


def doubts(measured: Sequence[Measured]) -> str:
    """Say where the machine or the generator, rather than the server, may have made the tail."""
    found = []
    for one in measured:
        elsewhere = one.cores.get("elsewhere", 0.0)
        if elsewhere > QUIET_CORES:
            found.append(f"{one.title}: other processes kept {elsewhere:.0%} of a core busy")
        if one.tail.late > LATE_SECONDS:
            found.append(
                f"{one.title}: the generator sent one query in a thousand "
                f"{one.tail.late * 1e3:.0f} ms late or later"
            )
        if one.echo.p999 > ECHO_P999_SECONDS:
            found.append(
                f"{one.title}: beside it even the echo server's p99.9 was "
                f"{one.echo.p999 * 1e3:.0f} ms"
            )
    return "\n".join(["Doubtful:", *found]) if found else ""
