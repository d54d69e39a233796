"""Commands about a file that declares models, applications and keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipper_client.answers import Release
from clipper_client.cli.command import (
    Command,
    Options,
    Result,
    arg,
    complain,
    flag,
    print_line,
    shown,
)
from clipper_client.client import Client
from clipper_client.declarations.document import read
from clipper_client.declarations.plan import Change
from clipper_client.declarations.steps import check_conflicts, check_possible, differences, take

DIFFERS = 2
SIGNS: Mapping[str, str] = {
    "create": "+",
    "change": "~",
    "deploy": "~",
    "delete": "-",
    "revoke": "-",
    "conflict": "!",
}


def _diff(client: Client, options: Options) -> Result:
    changes = _changes(client, options)
    return _result_of(changes, options=options, code=DIFFERS if changes else 0)


def _apply(client: Client, options: Options) -> Result:
    changes = _changes(client, options)
    if options.dry_run or not changes:
        return _result_of(changes, options=options)
    check_possible(changes)
    answers: list[dict[str, Any]] = []
    for change in changes:
        if not options.json:
            print_line(_text_of(change))
        answer = client.run(take, change)
        answers.append(change.as_dict())
        if isinstance(answer, Release):
            for warning in answer.named_warnings:
                complain(f"warning: {warning}")
        elif change.kind == "key" and change.action == "create":
            answers[-1]["key"] = answer["key"]
            if not options.json:
                print_line(f"    key: {answer['key']}  (shown this once)")
    value = {"changes": answers, "applied": True}
    return Result(value, f"{len(changes)} change{'s' * (len(changes) != 1)} applied.")


def _changes(client: Client, options: Options) -> list[Change]:
    document, own_key = read(options.file), client.address.key or ""
    return client.run(differences, document, prune=options.prune, own_key=own_key)


def _result_of(changes: list[Change], *, options: Options, code: int = 0) -> Result:
    """Return what differs. Raises if it can't be applied."""
    text = "\n".join(map(_text_of, changes)) or "Nothing differs."
    if not options.json and any(change.action == "conflict" for change in changes):
        print_line(text)
    check_conflicts(changes)
    value = {"changes": [change.as_dict() for change in changes], "applied": False}
    return Result(value, text, code)


def _text_of(change: Change) -> str:
    reason = f": {change.reason}" if change.reason else ""
    lines = [f"{SIGNS[change.action]} {change.action} {change.kind} {change.name}{reason}"]
    for name, (old, new) in change.fields.items():
        lines.append(f"    {name}: {shown(old)} -> {shown(new)}")
    return "\n".join(lines)


FILE = (
    arg("-f --file", "clipper.yaml if left out", default="clipper.yaml"),
    flag("--prune", "remove what isn't in the file's sections"),
)
COMMANDS = [
    Command(
        name="apply",
        help="make models, applications and keys what a file declares",
        more="Shows what it changes. Said again, it changes nothing. Removes nothing unless asked.",
        arguments=[
            *FILE,
            flag("--dry-run", "only show what would be done"),
        ],
        run=_apply,
    ),
    Command(
        name="diff",
        help="show what apply would change",
        more="Exits with 2 if something differs, with 1 if apply would be refused.",
        arguments=FILE,
        run=_diff,
    ),
]
