"""A subcommand as a row: its name, its help, its arguments, and the function that it calls."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from clipper_client.clients import Client

Options = argparse.Namespace


@dataclass(frozen=True, slots=True)
class Result:
    """The result of a command: a value for `--json`, a text for people, and the exit code."""

    value: Any
    text: str
    code: int = 0


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument as argparse takes it."""

    names: tuple[str, ...]
    settings: dict[str, Any]


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


def json_arg(names: str, help: str, **settings: Any) -> Argument:
    return arg(names, help, type=parsed, metavar="JSON", **settings)


def repeated(names: str, help: str, metavar: str) -> Argument:
    return arg(names, f"{help}; may be repeated", action="append", default=[], metavar=metavar)


def flag(names: str, help: str) -> Argument:
    return arg(names, help, action="store_true")


def parsed(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError."""
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError as error:
        raise ValueError(f"expected JSON, got {text[:60]!r}: {error}.") from error


def pair(option: str, text: str) -> tuple[str, str]:
    """Return the parts of an option NAME=VALUE."""
    name, equals, value = text.partition("=")
    if not (equals and name.isidentifier()):
        raise ValueError(f"{option}: expected NAME=VALUE, got {text!r}.")
    return name, value
