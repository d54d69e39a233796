"""The command's beginning and end: the subcommand, the client, and the exit code."""

import argparse
import csv
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import NoReturn

from clipper_client import __version__
from clipper_client.cli import (
    applying,
    choosing,
    feedback,
    key_commands,
    models,
    predictions,
    rollout_commands,
    top,
)
from clipper_client.cli.printing import complain, print_json, print_line
from clipper_client.cli.subcommand import Command, Result, arg, flag
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError, ClipperWarning

COMMANDS: list[Command] = [
    *models.COMMANDS,
    *rollout_commands.COMMANDS,
    *predictions.COMMANDS,
    *feedback.COMMANDS,
    *applying.COMMANDS,
    *top.COMMANDS,
    *choosing.COMMANDS,
    *key_commands.COMMANDS,
]
COMMON = (
    arg("--url", "where Clipper is; CLIPPER_URL if left out"),
    arg("--key", "an API key; CLIPPER_KEY if left out, where others don't see"),
    flag("--json", "print JSON, for programs"),
    arg("--timeout", "seconds for each request (30)", type=float, default=30.0, metavar="S"),
)
# The package clipper-server adds commands here.
SERVER_COMMANDS = "clipper.commands"
# A query's id may begin with a dash; no option is as long.
ID_WITH_A_DASH = re.compile(r"-[\w-]{40,}", re.ASCII)


class Parser(argparse.ArgumentParser):
    """Exits with 1 if it is called wrongly: 2 says that something differs."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}; see {self.prog} --help\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code: 0 done, 1 refused or failed, 2 something differs."""
    given = sys.argv[1:] if arguments is None else arguments
    if server := server_command(given):
        return server(given[1:])
    # argparse takes nothing that has a space for an option.
    given = [f" {each}" if ID_WITH_A_DASH.fullmatch(each) else each for each in given]
    parser = make_parser(is_asked_for_help=given[:1] in ([], ["-h"], ["--help"]))
    options = parser.parse_args(given)
    try:
        with (
            _warnings_in_lines(),
            Client(options.url, options.key, timeout=options.timeout) as client,
        ):
            code = _printed(options.run(client, options), as_json=options.json)
        sys.stdout.flush()
        return code
    except ClipperError as error:
        complain(f"{error} [{error.code}]")
        if options.json:
            print_json({"error": error.message, "code": error.code, "details": error.details})
    except BrokenPipeError:
        # The reader has seen enough; at the exit Python would complain once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, TypeError, OSError, csv.Error) as error:
        complain(str(error))
    except KeyboardInterrupt:
        return 130
    return 1


def server_command(given: Sequence[str]) -> Callable[[Sequence[str]], int] | None:
    """Return what a word that is no command of the client means to clipper-server."""
    if not given or given[0] in {command.name for command in COMMANDS}:
        return None
    found = entry_points(group=SERVER_COMMANDS, name=given[0])
    return next((command.load() for command in found), None)


def _printed(result: Result | int, *, as_json: bool) -> int:
    if isinstance(result, int):
        return result
    if as_json:
        print_json(result.value)
    elif result.text:
        print_line(result.text)
    return result.code


def make_parser(*, is_asked_for_help: bool = False) -> Parser:
    of_server = entry_points(group=SERVER_COMMANDS) if is_asked_for_help else ()
    names = ", ".join(command.name for command in of_server)
    parser = Parser(
        prog="clipper",
        description="Deploy models to Clipper, ask it and watch it. The address and the key are "
        "those of CLIPPER_URL and CLIPPER_KEY unless given.",
        epilog=f"Of the server on this machine: {names}." if names else None,
    )
    parser.add_argument("--version", action="version", version=f"clipper {__version__}")
    _add(COMMANDS, to=parser, metavar="COMMAND")
    return parser


def _add(commands: Sequence[Command], *, to: argparse.ArgumentParser, metavar: str) -> None:
    subparsers = to.add_subparsers(dest=metavar.lower(), required=True, metavar=metavar)
    for command in commands:
        parser = subparsers.add_parser(
            command.name, help=command.help, description=command.description
        )
        if command.commands:
            _add(command.commands, to=parser, metavar="ACTION")
            continue
        for argument in (*COMMON, *command.arguments):
            parser.add_argument(*argument.names, **argument.settings)
        parser.set_defaults(run=command.run)


@contextmanager
def _warnings_in_lines() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("always", ClipperWarning)
        warnings.showwarning = lambda message, *rest: complain(f"warning: {message}")
        yield
