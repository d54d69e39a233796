"""The management commands and the make targets, from their own help."""

import argparse
import re
from collections.abc import Iterable

from django.core.management import get_commands, load_command_class
from django.core.management.commands.migrate import Command as Migrate

from clipper_client.cli.main import make_parser
from scripts.docs.from_code import LAYERS
from scripts.docs.markdown_tables import code, table
from scripts.docs.root_pages import ROOT

# What every command of Django takes.
COMMON = frozenset(
    {"--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback"}
    | {"--no-color", "--force-color", "--skip-checks"}
)
TARGET = re.compile(r"^([a-z-]+):.*## (.+)$", re.MULTILINE)


def names() -> list[str]:
    """Return our commands, by name."""
    return sorted(name for name, app in get_commands().items() if app in LAYERS)


def commands() -> str:
    """Return every command with what it takes."""
    return "\n".join(_command(name) for name in names())


def targets() -> str:
    found = TARGET.findall((ROOT / "Makefile").read_text())
    return table(["command", "what it does"], [[code(f"make {t}"), text] for t, text in found])


def client_commands() -> str:
    """Return every subcommand of `clipper` with what it takes."""
    common = {"--help", "--url", "--key", "--json", "--timeout"}
    return "\n".join(
        _subcommand(name, parser, common=common) for name, parser in _subparsers(make_parser())
    )


def _subcommand(name: str, parser: argparse.ArgumentParser, *, common: set[str]) -> str:
    # argparse has no other way to list them.
    actions = parser._actions  # noqa: SLF001
    taken = [action for action in actions if not common & set(action.option_strings)]
    inner = _subparsers(parser)  # they are its last argument
    described = _listed(taken[:-1] if inner else taken)
    sections = [_subcommand(f"{name} {each}", of, common=common) for each, of in inner]
    return "\n".join(
        [f"### `clipper {name}`\n\n{parser.description or ''}\n\n{described}", *sections]
    )


def _subparsers(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:  # noqa: SLF001
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            return list(action.choices.items())
    return []


def _command(name: str) -> str:
    command = load_command_class(get_commands()[name], name)
    parser = command.create_parser("manage.py", name)
    if isinstance(command, Migrate):
        return f"### `{name}`\n\n{parser.description} It takes the arguments of Django's.\n"
    actions = parser._actions  # noqa: SLF001  # as above
    taken = [action for action in actions if not COMMON & set(action.option_strings)]
    return f"### `{name}`\n\n{parser.description}\n\n{_listed(taken)}"


def _listed(actions: Iterable[argparse.Action]) -> str:
    return "".join(f"- {_usage(action)}: {_help(action)}\n" for action in actions)


def _usage(action: argparse.Action) -> str:
    if not action.option_strings:
        name = action.metavar or action.dest
        return code(f"[{name}]" if action.nargs == "?" else name)
    value = action.metavar or action.dest.upper()
    return code(f"{action.option_strings[0]}{'' if action.nargs == 0 else f' {value}'}")


def _help(action: argparse.Action) -> str:
    return (action.help or "").replace("%%", "%")
