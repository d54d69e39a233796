"""The command that watches: how fast queries come, and how each version keeps up."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from math import inf
from time import monotonic, sleep
from typing import Any

from clipper_client.cli.command import Command, Options, Result, arg, flag, print_line, table
from clipper_client.client import Client
from clipper_client.transport.server import Server

CLEAR = "\x1b[2J\x1b[H"
SAMPLE = re.compile(
    r"^clipper_(application|version)_(\w+?)(?:_total)?\{(.*)\} (\S+)$", re.MULTILINE
)
LABEL = re.compile(r'(\w+)="([^"]*)"')
# Labels over which values may be summed; sums over others would mix what isn't alike.
OURS = {"process", "application", "version"}

# By (kind, name), its numbers by their names.
Counts = Mapping[str, float]
Numbers = Mapping[tuple[str, str], Counts]


def _top(client: Client, options: Options) -> Result:
    before, began = numbers_in(client.run(_metrics)), monotonic()
    while True:
        sleep(options.every)
        now, at = numbers_in(client.run(_metrics)), monotonic()
        rows = rates(before, now, seconds=at - began)
        before, began = now, at
        tables = [
            table(list(found[0]), [list(r.values()) for r in found]) + "\n"
            for found in rows.values()
            if found
        ]
        text = "\n".join(tables) or "Nobody has asked anything yet."
        if options.once or options.json:
            return Result(rows, text)
        print_line(f"{CLEAR}Clipper, per second; Ctrl-C ends it\n{text}")


async def _metrics(server: Server) -> str:
    return (await server.ask("GET", "/metrics")).text


def numbers_in(text: str) -> Numbers:
    """Return what Prometheus's text says of applications and versions, over all processes."""
    numbers: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for kind, metric, labels, value in SAMPLE.findall(text):
        found = dict(LABEL.findall(labels))
        bound = found.pop("le", "")
        if found.keys() <= OURS and kind in found:
            numbers[kind, found[kind]][f"{metric} {bound}" if bound else metric] += float(value)
    return numbers


def rates(before: Numbers, now: Numbers, *, seconds: float) -> dict[str, list[dict[str, Any]]]:
    """Return per second what was counted in between, and what holds now."""

    def rate(key: tuple[str, str], metric: str) -> float:
        grown = now[key][metric] - before[key][metric]
        return round(max(0.0, grown) / seconds, 1)

    keys = sorted(now)
    return {
        "applications": [
            {"application": name}
            | {metric: rate((kind, name), metric) for metric in APPLICATION_RATES}
            | {
                f"{title}_ms": quantile(before[kind, name], now[kind, name], q=q)
                for title, q in QUANTILES.items()
            }
            for kind, name in keys
            if kind == "application"
        ],
        "versions": [
            {"version": name}
            | {metric: rate((kind, name), metric) for metric in VERSION_RATES}
            | {metric: now[kind, name][metric] for metric in VERSION_GAUGES}
            for kind, name in keys
            if kind == "version"
        ],
    }


def quantile(before: Counts, now: Counts, *, q: float) -> float | None:
    """Return within how many milliseconds a share of the queries in between was answered.

    Between the bounds of a histogram queries count as evenly spread. None without any.
    """
    counted = [
        (float(metric.removeprefix(BUCKET)), count - before[metric])
        for metric, count in now.items()
        if metric.startswith(BUCKET)
    ]
    counted.sort()
    total = counted[-1][1] if counted else 0.0
    if total <= 0.0:
        return None
    low, below = 0.0, 0.0
    for bound, count in counted:
        if count >= q * total:
            # Times beyond the last bound are only known to be that.
            share = (q * total - below) / (count - below) if bound != inf else 0.0
            return round((low + share * (bound - low if share else 0.0)) * 1e3, 1)
        low, below = bound, count
    return None


BUCKET = "latency_seconds_bucket "
QUANTILES = {"p50": 0.5, "p99": 0.99}
APPLICATION_RATES = ("queries", "defaults", "errors", "late", "scored")
VERSION_RATES = ("hits", "misses", "failed")
VERSION_GAUGES = ("waiting", "in_flight")


COMMANDS = [
    Command(
        name="top",
        help="watch how fast queries come, how fast they are answered and how versions keep up",
        arguments=[
            arg("--every", "seconds (2)", type=float, default=2.0, metavar="S"),
            flag("--once", "once, rather than until Ctrl-C"),
        ],
        run=_top,
    ),
]
