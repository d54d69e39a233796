"""What a run leaves: of each figure its numbers as JSON and a chart."""

from __future__ import annotations

import os
import platform
import time
from pathlib import Path
from typing import Any

import msgspec
import psutil

from benchmarks.figures import style
from benchmarks.figures.claims import Claim
from benchmarks.figures.experiment import Experiment, Result, Session

# A machine this busy before anything has begun makes every number doubtful.
QUIET = 0.1
LISTEN_SECONDS = 1.0


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
