"""What a run leaves: of each scenario its numbers as JSON, of all of them one chart."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable
from pathlib import Path

import msgspec

from benchmarks.figures import style
from benchmarks.figures.records import NothingMeasured
from benchmarks.tail.bench import Measured
from benchmarks.tail.chart import draw
from benchmarks.tail.scenarios import SCENARIOS

CHART = "tail.png"


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """One scenario, and where and how thoroughly it was measured."""

    cores: int | None
    python: str
    system: str
    quick: bool
    measured: Measured


def write(measured: Iterable[Measured], *, quick: bool, results: Path) -> None:
    results.mkdir(parents=True, exist_ok=True)
    for one in measured:
        record = Record(
            cores=os.cpu_count(),
            python=platform.python_version(),
            system=platform.platform(),
            quick=quick,
            measured=one,
        )
        (results / f"{one.name}.json").write_bytes(msgspec.json.encode(record) + b"\n")


def read(results: Path) -> list[Measured]:
    """Return what was measured last of each scenario, in their order."""
    files = [results / f"{name}.json" for name in SCENARIOS]
    found = [
        msgspec.json.decode(file.read_bytes(), type=Record).measured
        for file in files
        if file.exists()
    ]
    if not found:
        raise NothingMeasured(f"nothing was measured yet: {results} holds no scenario")
    return found


def draw_all(results: Path) -> list[Measured]:
    """Draw all that is written down, and return it."""
    measured = read(results)
    with style.applied():
        style.save(draw(measured), results / CHART)
    return measured
