"""Verdicts and tables that most curves share."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.figures.claims import Claim, number
from benchmarks.growth.curve import Rows
from benchmarks.growth.results import Growth, Point


def no_failures(name: str, result: Growth) -> Claim:
    return Claim(
        figure=name, what="errors, and answers of no model", seen=result.failures, at_most=0
    )


def ratio_claims(
    name: str, result: Growth, *, of: str, at_most: Mapping[str, float]
) -> list[Claim]:
    """The largest size of every series beside its yardstick; `at_most` is by series."""
    return [
        Claim(
            figure=name,
            what=f"CPU a query, {series.largest.size:,} {of} : 1, {series.name}",
            seen=series.largest.ratio,
            at_most=at_most[series.name],
        )
        for series in result.series
    ]


def table(result: Growth, *, of: str, redis: bool = False) -> Rows:
    """A row for each point; with `redis` also what it was asked, and the web's memory."""
    more = ("reads of Redis a query", "scripts", "Redis CPU, µs", "web RSS, MiB") if redis else ()
    header = (
        "asked", of, "CPU a query, µs", "beside it, µs", "ratio", "queries/s", "p99, ms", *more
    )  # fmt: skip
    rows = [
        (series.name, f"{point.size:,}", *_numbers(point), *(_asked(point) if redis else ()))
        for series in result.series
        for point in series.points
    ]
    return [header, *rows]


def _numbers(point: Point) -> tuple[str, ...]:
    return (
        number(point.cost),
        number(point.yardstick),
        f"{point.ratio:.2f}",
        number(point.of(lambda one: one.rate)),
        number(point.of(lambda one: one.p99_ms)),
    )


def _asked(point: Point) -> tuple[str, ...]:
    return (
        number(point.of(lambda one: one.reads)),
        number(point.of(lambda one: one.scripts)),
        number(point.of(lambda one: one.redis_us)),
        number(point.of(lambda one: one.memory)),
    )
