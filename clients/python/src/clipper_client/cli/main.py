"""The command's beginning and end: which subcommand, with which client, and the exit code."""

from __future__ import annotations

import argparse
import csv
import os
import re
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from difflib import get_close_matches
from typing import Any, NoReturn

from clipper_client import __version__
from clipper_client.cli import (
    completion,
    declared,
    environments,
    exports,
    labels,
    models,
    queries,
    removal,
    routing,
    scoring,
    top,
    what_if,
)
from clipper_client.cli import keys as api_keys
from clipper_client.cli.command import Command
from clipper_client.cli.completion import words_of
from clipper_client.cli.output import complain, print_json, print_line
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
    *environments.COMMANDS,
    *api_keys.COMMANDS,
    *routing.COMMANDS,
    *removal.COMMANDS,
    *completion.COMMANDS,
)
# How argparse says that a value is none of those that there are.
CHOICE = re.compile(
    r"(?P<before>.*invalid choice: '(?P<given>.*)') \(choose from (?P<choices>.*)\)"
)
CHOICES = re.compile(r"[\w-]+")
DONE, FAILED, INTERRUPTED = 0, 1, 130
# Where a server that doesn't answer would only be waited for.
SOON_S = 2.0
# A query's id may begin with a dash; no option is as long.
ID_WITH_A_DASH = re.compile(r"-[\w-]{40,}", re.ASCII)


class Parser(argparse.ArgumentParser):
    """Exits with 1 where it is called wrongly: 2 says that something differs."""

    def error(self, message: str) -> NoReturn:
        if wrong := CHOICE.search(message):
            known = CHOICES.findall(wrong["choices"])
            near = get_close_matches(wrong["given"], known, n=1)
            message = wrong["before"] + (f" (did you mean {near[0]!r}?)" if near else "")
            message += f"; expected one of {', '.join(known)}"
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
    parser.add_argument(
        "--version",
        action=_Version,
        nargs=0,
        help="print the client's version, and the server's if it answers",
    )
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        added = subparsers.add_parser(
            command.name, help=command.help, description=command.description
        )
        _add_common(added)
        command.add_arguments(added)
        added.set_defaults(run=command.run)
    words = {name: words_of(added) for name, added in subparsers.choices.items()}
    parser.set_defaults(words=words)
    return parser


@contextmanager
def _warnings_told() -> Iterator[None]:
    """Say in one line what the client warns of."""
    with warnings.catch_warnings():
        warnings.simplefilter("always", ClipperWarning)
        warnings.showwarning = lambda message, *rest: complain(f"warning: {message}")
        yield


class _Version(argparse.Action):
    """Prints the versions: in two lines, of which the second is missing without a server."""

    def __call__(self, parser: argparse.ArgumentParser, *_arguments: Any) -> NoReturn:
        print_line(f"clipper {__version__}")
        with suppress(ClipperError, ValueError), Client(timeout=SOON_S, retries=0) as client:
            found = client.request("GET", "/health/live")
            print_line(f"server {found.get('version', 'unknown')} at {client.address.url}")
        parser.exit()


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
