"""The command's beginning and end: the subcommand, the client, and the exit code."""

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
    declared,
    exports,
    feedback,
    models,
    predictions,
    routing,
    scoring,
    top,
    upkeep,
    what_if,
)
from clipper_client.cli.command import (
    Command,
    Options,
    Result,
    arg,
    complain,
    flag,
    print_json,
    print_line,
)
from clipper_client.client import Client
from clipper_client.errors import ClipperError, ClipperWarning

# zsh understands what is written for bash after this line.
ZSH = "autoload -Uz bashcompinit && bashcompinit\n"
SCRIPT = """\
_clipper() {{
    local words
    case "${{COMP_WORDS[1]}}" in
{cases}
    esac
    [ "$COMP_CWORD" -gt 1 ] || words="{commands}"
    COMPREPLY=($(compgen -W "$words" -- "${{COMP_WORDS[COMP_CWORD]}}"))
}}
complete -o default -F _clipper clipper"""


def _completion(client: Client, options: Options) -> Result:
    cases = "\n".join(f'    {name}) words="{" ".join(w)}" ;;' for name, w in options.words.items())
    script = SCRIPT.format(cases=cases, commands=" ".join(options.words))
    script = ZSH + script if options.shell == "zsh" else script
    return Result({"shell": options.shell, "script": script}, script)


COMPLETION = Command(
    name="completion",
    help="print a script that has a shell complete commands and options",
    more='In bash or zsh: eval "$(clipper completion bash)", in a file that it reads.',
    arguments=[arg("shell", "for which shell", choices=("bash", "zsh"))],
    run=_completion,
)
COMMANDS: list[Command] = [
    *models.COMMANDS,
    *predictions.COMMANDS,
    *feedback.COMMANDS,
    *scoring.COMMANDS,
    *declared.COMMANDS,
    *exports.COMMANDS,
    *top.COMMANDS,
    *what_if.COMMANDS,
    *routing.COMMANDS,
    *upkeep.COMMANDS,
    COMPLETION,
]
COMMON = (
    arg("--url", "where Clipper is; CLIPPER_URL if left out"),
    arg("--key", "an API key; CLIPPER_KEY if left out, where others don't see"),
    flag("--json", "print JSON, for programs"),
    arg("--timeout", "seconds for each request (30)", type=float, default=30.0, metavar="S"),
)
# How argparse says that a value is none of those that there are.
CHOICE = re.compile(
    r"(?P<before>.*invalid choice: '(?P<given>.*)') \(choose from (?P<choices>.*)\)"
)
CHOICES = re.compile(r"[\w-]+")
DONE, FAILED, INTERRUPTED = 0, 1, 130
# A server that doesn't answer isn't worth waiting for to print a version.
SOON_S = 2.0
# A query's id may begin with a dash; no option is as long.
ID_WITH_A_DASH = re.compile(r"-[\w-]{40,}", re.ASCII)


class Parser(argparse.ArgumentParser):
    """Exits with 1 if it is called wrongly: 2 says that something differs."""

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
    # argparse takes nothing that has a space for an option.
    given = [f" {each}" if ID_WITH_A_DASH.fullmatch(each) else each for each in given]
    options = make_parser().parse_args(given)
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
        return INTERRUPTED
    return FAILED


def _printed(result: Result | int, *, as_json: bool) -> int:
    if isinstance(result, int):
        return result
    if as_json:
        print_json(result.value)
    elif result.text:
        print_line(result.text)
    return result.code


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
    parsers = _add(COMMANDS, to=parser, metavar="COMMAND")
    parser.set_defaults(words={name: _words_of(each) for name, each in parsers.items()})
    return parser


def _add(
    commands: Sequence[Command], *, to: argparse.ArgumentParser, metavar: str
) -> dict[str, argparse.ArgumentParser]:
    """Add subcommands to a parser; return their parsers by name."""
    subparsers = to.add_subparsers(dest=metavar.lower(), required=True, metavar=metavar)
    parsers = {}
    for command in commands:
        parser = subparsers.add_parser(
            command.name, help=command.help, description=command.description
        )
        parsers[command.name] = parser
        if command.commands:
            _add(command.commands, to=parser, metavar="ACTION")
            continue
        for argument in (*COMMON, *command.arguments):
            argument.add_to(parser)
        parser.set_defaults(run=command.run)
    return parsers


def _words_of(parser: argparse.ArgumentParser) -> list[str]:
    """Return the options that a command takes, and the values that it names."""
    found: list[str] = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no public list of them
        found += [option for option in action.option_strings if option.startswith("--")]
        found += map(str, action.choices or ())
    return found


@contextmanager
def _warnings_in_lines() -> Iterator[None]:
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
