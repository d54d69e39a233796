"""The command that watches: how fast queries come, and how each version keeps up."""

import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from time import monotonic, sleep
from typing import Any

from clipper_client.answers import Rollout, parsed
from clipper_client.cli.printing import print_line, rollout_table, table
from clipper_client.cli.subcommand import Command, Options, Result, arg, flag
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError
from clipper_client.operations.open_rollouts import open_ones
from clipper_client.operations.releases import listed
from clipper_client.transport.remote_server import Server

SAMPLE = re.compile(
    r"^clipper_(application|version)_(\w+?)(?:_total)?\{(.*)\} (\S+)$", re.MULTILINE
)
LABEL = re.compile(r'(\w+)="([^"]*)"')
# Labels over which values may be summed; sums over others would mix what isn't alike.
SUMMED = {"process", "application", "version"}
BUCKET = "latency_seconds_bucket "
QUANTILES = {"p50_ms": 0.5, "p99_ms": 0.99}
# By the kind of row, metrics to show per second, and metrics to show as they are.
SHOWN: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "application": (("queries", "defaults", "errors", "late", "scored"), ()),
    "version": (("hits", "misses", "failed"), ("waiting", "in_flight")),
}

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
        tables.append(rollout_table(_rollouts(client)))
        text = "\n".join(filter(None, tables)) or "Nobody has asked anything yet."
        if options.once or options.json:
            return Result(rows, text)
        print_line(f"\x1b[2J\x1b[HClipper, per second; Ctrl-C ends it\n{text}")


def _rollouts(client: Client) -> list[Rollout]:
    """Return the open rollouts; none with a key that may not look at models."""
    with suppress(ClipperError):
        return client.run(_open_rollouts)
    return []


async def _open_rollouts(server: Server, /) -> list[Rollout]:
    return [parsed(Rollout, one) for one in await open_ones(server, await listed(server, "models"))]


async def _metrics(server: Server) -> str:
    return (await server.ask("GET", "/metrics")).text


def numbers_in(text: str) -> Numbers:
    """Return the numbers of applications and versions in Prometheus's text, over all processes."""
    numbers: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for kind, metric, labels, value in SAMPLE.findall(text):
        found = dict(LABEL.findall(labels))
        bound = found.pop("le", "")
        if found.keys() <= SUMMED and kind in found:
            numbers[kind, found[kind]][f"{metric} {bound}" if bound else metric] += float(value)
    return numbers


def rates(before: Numbers, now: Numbers, *, seconds: float) -> dict[str, list[dict[str, Any]]]:
    """Return what was counted in between per second, and what holds now."""
    rows: dict[str, list[dict[str, Any]]] = {f"{kind}s": [] for kind in SHOWN}
    for kind, name in sorted(now):
        old, new = before[kind, name], now[kind, name]
        counted, held = SHOWN[kind]
        row: dict[str, Any] = {kind: name}
        row |= {each: round(max(0.0, new[each] - old[each]) / seconds, 1) for each in counted}
        row |= {each: new[each] for each in held}
        if kind == "application":
            row |= {title: quantile(old, new, q=q) for title, q in QUANTILES.items()}
        rows[f"{kind}s"].append(row)
    return rows


def quantile(before: Counts, now: Counts, *, q: float) -> float | None:
    """Return the bucket's bound, in ms, within which this share was answered; None if none was."""
    counted = sorted(
        (float(metric.removeprefix(BUCKET)), count - before[metric])
        for metric, count in now.items()
        if metric.startswith(BUCKET)
    )
    total = counted[-1][1] if counted else 0.0
    within = (bound for bound, count in counted if total and count >= q * total)
    bound = next(within, None)
    return None if bound is None else round(bound * 1e3, 1)


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
