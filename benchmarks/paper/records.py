"""What a run leaves: of each figure its numbers as JSON and a chart, and for the docs a table."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.paper import style
from benchmarks.paper.claims import Claim
from benchmarks.paper.experiment import Experiment, Result, Session

# A machine this busy before anything has begun makes every number doubtful.
QUIET = 0.1
LISTEN_SECONDS = 1.0
# Between these lines of the page the table of the last published run stands.
TABLE_BEGIN, TABLE_END = "<!-- measured -->\n", "<!-- /measured -->\n"


class NothingMeasured(Exception):
    """A figure is to be drawn that was not measured before."""


def measure(experiment: Experiment[Any], *, session: Session, results: Path) -> None:
    """Measure one figure and write its numbers down."""
    session.say(f"\n{experiment.title}")
    busy = psutil.cpu_percent(interval=LISTEN_SECONDS) / 100
    if busy > QUIET:
        session.say(f"  Doubtful: before it began the machine was {busy:.0%} busy already.")
    started = time.monotonic()
    result = experiment.measure(session)
    document = {
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
            "busy_before": busy,
        },
        "quick": session.quick,
        "seconds": time.monotonic() - started,
        "claims": [
            msgspec.structs.asdict(claim) | {"holds": claim.holds}
            for claim in experiment.claims(result)
        ],
        "result": result,
    }
    results.mkdir(parents=True, exist_ok=True)
    _numbers(experiment, results=results).write_bytes(msgspec.json.encode(document) + b"\n")


def report(experiment: Experiment[Any], *, results: Path) -> list[Claim]:
    """Draw and judge what is written down."""
    result = stored(experiment, results=results)
    with style.applied():
        style.save(experiment.draw(result), chart(experiment, results=results))
    return experiment.claims(result)


def stored(experiment: Experiment[Result], *, results: Path) -> Result:
    """Return what was measured last of a figure."""
    try:
        text = _numbers(experiment, results=results).read_bytes()
    except FileNotFoundError as error:
        raise NothingMeasured(f"{experiment.name} was not measured yet: {error}") from error
    return msgspec.convert(msgspec.json.decode(text)["result"], experiment.result)


def chart(experiment: Experiment[Any], *, results: Path) -> Path:
    return results / f"{experiment.name}.png"


def _numbers(experiment: Experiment[Any], *, results: Path) -> Path:
    return results / f"{experiment.name}.json"


def with_table(page: str, *, claims: Iterable[Claim], order: Sequence[str] = ()) -> str:
    """Return the page with these claims in its table; other figures' rows stay as they are.

    Rows are in the `order` of the figures' names; those that it lacks come after them.
    """
    before, begin, rest = page.partition(TABLE_BEGIN)
    old, end, after = rest.partition(TABLE_END)
    rows = _rows_by_figure(old)
    fresh: dict[str, list[str]] = {}
    for c in claims:
        line = _line((c.figure, c.what, c.wanted, c.found, c.paper, c.verdict))
        fresh.setdefault(c.figure, []).append(line)
    rows |= fresh
    places = {name: place for place, name in enumerate(order)}
    names = sorted(rows, key=lambda name: places.get(name, len(places)))
    head = [_line(("figure", "what", "wanted", "seen", "the paper", "")), _line(("---",) * 6)]
    table = "".join([*head, *(line for name in names for line in rows[name])])
    return f"{before}{begin}{table}{end}{after}"


def _rows_by_figure(table: str) -> dict[str, list[str]]:
    """Return the lines of a table that stands in the page, without its head."""
    rows: dict[str, list[str]] = {}
    for line in table.splitlines(keepends=True)[2:]:
        rows.setdefault(line.split("|")[1].strip(), []).append(line)
    return rows


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
