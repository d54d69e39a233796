"""A subcommand: its name, its help, its arguments, and what it does."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from clipper_client.client import Client
from clipper_client.operations.management import ENOUGH_S

Options = argparse.Namespace
Run = Callable[[Client, Options], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the table of subcommands; `run` returns the exit code."""

    name: str
    help: str
    add_arguments: Callable[[argparse.ArgumentParser], None]
    run: Run
    more: str = ""

    @property
    def description(self) -> str:
        text = f"{self.help[0].upper()}{self.help[1:]}."
        return f"{text} {self.more}".strip()


def seconds_to_wait(options: Options) -> bool | float:
    """Return what `--wait` and `--no-wait` say."""
    return False if options.no_wait else (True if options.wait is None else float(options.wait))


def add_waiting(parser: argparse.ArgumentParser) -> None:
    waiting = parser.add_mutually_exclusive_group()
    waiting.add_argument("--no-wait", action="store_true", help="don't wait until it is live")
    waiting.add_argument(
        "--wait",
        type=float,
        nargs="?",
        const=ENOUGH_S,
        metavar="S",
        help="wait so many seconds at most; ten minutes without a number, and if left out",
    )
