"""A subcommand as a row: its name, its help, its arguments, and the function that it calls."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from clipper_client.client import Client

Options = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a command: a value for `--json`, a text for people, and the exit code."""

    value: Any
    text: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as argparse takes it, or several of which one may be given."""

    names: tuple[str, ...]
    settings: dict[str, Any]
    choices: tuple[Argument, ...] = ()

    def add_to(self, parser: Any) -> None:
        if not self.choices:
            parser.add_argument(*self.names, **self.settings)
            return
        group = parser.add_mutually_exclusive_group(**self.settings)
        for choice in self.choices:
            choice.add_to(group)


# A command that prints while it works returns only its exit code.
Run = Callable[[Client, Options], Result | int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One row of the table of subcommands; one with `commands` is called by their names."""

    name: str
    help: str
    run: Run | None = None
    arguments: Sequence[Argument] = ()
    more: str = ""
    commands: Sequence[Command] = ()

    @property
    def description(self) -> str:
        text = f"{self.help[0].upper()}{self.help[1:]}."
        return f"{text} {self.more}".strip()


def arg(names: str, help: str, **settings: Any) -> Argument:
    """Return an argument by its names, such as "-f --file", and what else argparse takes."""
    return Argument(tuple(names.split()), {"help": help, **settings})


def flag(names: str, help: str) -> Argument:
    return arg(names, help, action="store_true")


def either(*choices: Argument, required: bool = False) -> Argument:
    return Argument((), {"required": required}, choices)


def parsed(text: str) -> Any:
    """Return what JSON says. Raises ValueError for what isn't any."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"expected JSON, got {text[:60]!r}: {error}.") from error


def json_value(text: str) -> Any:
    """Return an argument that is JSON. Raises what argparse turns into a complaint."""
    try:
        return parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def pair(option: str, text: str) -> tuple[str, str]:
    """Return the parts of an option NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise ValueError(f"{option}: expected NAME=VALUE, got {text!r}.")
    return name, value


def print_json(value: Any) -> None:
    print(msgspec.json.format(msgspec.json.encode(value), indent=2).decode())


def print_line(text: str) -> None:
    print(text, flush=True)


def complain(text: str) -> None:
    """Print one line to standard error, whatever the text holds."""
    print(f"clipper: {' '.join(text.split())}", file=sys.stderr)


def table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return columns as wide as their widest cell; nothing at all if there are no rows."""
    cells = [[shown(cell) for cell in row] for row in rows]
    if not cells:
        return ""
    lines = [[title.upper() for title in head], *cells]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def shown(value: Any) -> str:
    """Return a value in one line: text as it is, anything else as JSON."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return " ".join(value.split()) or "-"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value) or "-"
    if isinstance(value, float):
        return f"{value:g}"
    return msgspec.json.encode(value).decode()
