"""The shape that every figure has: measure, judge, draw."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
import uvloop
from matplotlib.figure import Figure

from benchmarks.figures.claims import Claim

T = TypeVar("T")
Result = TypeVar("Result", bound=msgspec.Struct)
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What a run of any figure works with. `folder` is for sockets and logs, and is short-lived.

    `quick` asks for a first look: fewer points, shorter, less certain.
    """

    folder: Path
    quick: bool
    say: Say


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment(Generic[Result]):
    """One figure, measured in a session of its kind.

    What it measured is a struct: stored as JSON, and drawn again at will.
    """

    name: str
    title: str
    result: type[Result]
    measure: Callable[[Any], Result]
    claims: Callable[[Result], list[Claim]]
    draw: Callable[[Result], Figure]


def run_on_uvloop(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on the loop that web processes have."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
