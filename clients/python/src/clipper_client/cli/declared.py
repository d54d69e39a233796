"""Commands about a file that declares what there is to be."""

from __future__ import annotations

import argparse

from clipper_client.answers import Release
from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import print_json, print_line, shown, warn
from clipper_client.client import Client
from clipper_client.declarations.apply import (
    check_conflicts,
    check_possible,
    differences,
    take,
)
from clipper_client.declarations.document import read
from clipper_client.declarations.plan import Change
from clipper_client.retries import RetryPolicy

DIFFERS = 2
SIGNS = {
    "create": "+",
    "change": "~",
    "deploy": "~",
    "delete": "-",
    "revoke": "-",
    "conflict": "!",
}
NOTHING = "Nothing differs."


def _add_file(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--file", default="clipper.yaml", help="clipper.yaml if left out")
    parser.add_argument(
        "--prune", action="store_true", help="remove what isn't in the file's sections"
    )


def _add_apply(parser: argparse.ArgumentParser) -> None:
    _add_file(parser)
    parser.add_argument("--dry-run", action="store_true", help="only show what would be done")


def _diff(client: Client, options: Options) -> int:
    changes = _changes(client, options)
    _show(changes, options=options)
    return DIFFERS if changes else 0


def _apply(client: Client, options: Options) -> int:
    changes = _changes(client, options)
    if options.dry_run or not changes:
        _show(changes, options=options)
        return 0
    check_possible(changes)
    answers = []
    for change in changes:
        if not options.json:
            _print_change(change)
        answer = client.run(take(change, policy=RetryPolicy()))
        if isinstance(answer, Release):
            warn(answer)
        if change.kind == "key" and change.action == "create":
            answers.append({**change.as_dict(), "key": answer["key"]})
            if not options.json:
                print_line(f"    key: {answer['key']}  (shown this once)")
        else:
            answers.append(change.as_dict())
    if options.json:
        print_json({"changes": answers, "applied": True})
    else:
        print_line(f"{len(changes)} change{'s' * (len(changes) != 1)} applied.")
    return 0


def _changes(client: Client, options: Options) -> list[Change]:
    document, own_key = read(options.file), client.address.key or ""
    steps = differences(document, prune=options.prune, own_key=own_key, policy=RetryPolicy())
    return client.run(steps)


def _show(changes: list[Change], *, options: Options) -> None:
    """Print what differs. Raises where it can't be applied."""
    if options.json:
        check_conflicts(changes)  # which is JSON as well, and there is to be one
        print_json({"changes": [change.as_dict() for change in changes], "applied": False})
    elif not changes:
        print_line(NOTHING)
    else:
        for change in changes:
            _print_change(change)
        check_conflicts(changes)


def _print_change(change: Change) -> None:
    told = f": {change.reason}" if change.reason else ""
    print_line(f"{SIGNS[change.action]} {change.action} {change.kind} {change.name}{told}")
    for name, (old, new) in change.fields.items():
        print_line(f"    {name}: {shown(old)} -> {shown(new)}")


COMMANDS = (
    Command(
        name="apply",
        help="make models, applications and keys what a file declares",
        more="Shows what it changes. Said again, it changes nothing. Removes nothing unless asked.",
        add_arguments=_add_apply,
        run=_apply,
    ),
    Command(
        name="diff",
        help="show what apply would change",
        more="Exits with 2 where something differs, with 1 where apply would be refused.",
        add_arguments=_add_file,
        run=_diff,
    ),
)
