"""The command's beginning and end: which subcommand, with which client, and the exit code."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NoReturn

from clipper_client.cli import declared, exports, labels, models, queries, scoring, top, what_if
from clipper_client.cli import keys as api_keys
from clipper_client.cli.command import Command
from clipper_client.cli.output import complain, print_json
from clipper_client.client import Client
from clipper_client.errors import ClipperError, ClipperWarning

COMMANDS: tuple[Command, ...] = (
    *models.COMMANDS,
    *queries.COMMANDS,
    *labels.COMMANDS,
    *scoring.COMMANDS,
    *declared.COMMANDS,
    *exports.COMMANDS,
    *top.COMMANDS,
    *what_if.COMMANDS,
    *api_keys.COMMANDS,
)
DONE, FAILED, INTERRUPTED = 0, 1, 130
# A query's id may begin with a dash; no option is as long.
ID_WITH_A_DASH = re.compile(r"-[\w-]{40,}", re.ASCII)


class Parser(argparse.ArgumentParser):
    """Exits with 1 where it is called wrongly: 2 says that something differs."""

    def error(self, message: str) -> NoReturn:
        self.exit(FAILED, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 refused or failed, 2 something differs."""
    given = sys.argv[1:] if arguments is None else arguments
    options = make_parser().parse_args([_no_option(argument) for argument in given])
    try:
        with _warnings_told(), Client(options.url, options.key, timeout=options.timeout) as client:
            code: int = options.run(client, options)
        sys.stdout.flush()
        return code
    except ClipperError as error:
        _tell(error, as_json=options.json)
    except BrokenPipeError:
        # Whoever read the output has seen enough; at the exit Python would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, csv.Error) as error:
        complain(str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    return FAILED


def make_parser() -> Parser:
    parser = Parser(
        prog="clipper",
        description="Deploy models to Clipper, ask it and watch it. The address and the key are "
        "those of CLIPPER_URL and CLIPPER_KEY unless given.",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        added = subparsers.add_parser(
            command.name, help=command.help, description=command.description
        )
        _add_common(added)
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    return parser


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Say in one line what the client warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ClipperWarning)
        warnings.showwarning = lambda message, *rest: complain(f"warning: {message}")
        yield


def _no_option(argument: str) -> str:
    """Have argparse take an id for what it is: it takes nothing that has a space for an option."""
    return f" {argument}" if ID_WITH_A_DASH.fullmatch(argument) else argument


def _add_common(common: argparse.ArgumentParser) -> None:
    """What every command takes."""
    common.add_argument("--url", help="where Clipper is; CLIPPER_URL if left out")
    common.add_argument("--key", help="an API key; CLIPPER_KEY if left out, where others don't see")
    common.add_argument("--json", action="store_true", help="print JSON, for programs")
    common.add_argument(
        "--timeout", type=float, default=30.0, metavar="S", help="seconds for each request (30)"
    )


def _tell(error: ClipperError, *, as_json: bool) -> None:
    complain(f"{error} [{error.code}]")
    if as_json:
        print_json({"error": error.message, "code": error.code, "details": error.details})
