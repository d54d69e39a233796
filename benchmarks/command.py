"""What the command lines of all benchmarks have in common."""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from types import FrameType

from scripts.stack.layout import ROOT

INTERRUPTED = 130


class ProgramMissing(Exception):
    """A program that measures isn't installed."""


def say(text: str) -> None:
    print(text, flush=True)


def run(name: str, work: Callable[[], int | None], *, failures: tuple[type[Exception], ...]) -> int:
    """Work, and return the exit status: 1 and one line where one of the failures ends it.

    Whoever ends it by Ctrl-C or SIGTERM lets it stop what it has started.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        return work() or 0
    except (ProgramMissing, *failures) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return INTERRUPTED


def need_wrk() -> None:
    if shutil.which("wrk") is None:
        raise ProgramMissing("wrk isn't installed; on Debian: apt-get install wrk")


def add_names(parser: argparse.ArgumentParser, *, known: Collection[str], to: str) -> None:
    """Let some of what is known be chosen, as `to` of the options; without any, all of it."""

    def one(text: str) -> str:
        if text not in known:
            raise argparse.ArgumentTypeError(f"expected {', '.join(known)}; got {text}")
        return text

    parser.add_argument(to, nargs="*", type=one, metavar="NAME", help=", ".join(known))


def add_results(parser: argparse.ArgumentParser, *, folder: Path, page: Path) -> None:
    """Let what was measured be shown again, be put into a page of the docs, or lie elsewhere."""
    parser.add_argument("--redraw", action="store_true", help="only show what was measured before")
    parser.add_argument(
        "--publish", action="store_true", help=f"update {page.relative_to(ROOT)} and its pictures"
    )
    parser.add_argument("--results", type=Path, default=folder, help="folder of the results")


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
