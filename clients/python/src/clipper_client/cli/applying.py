"""Commands about declarations (apply, diff, export), and the export of an application's data."""

import sys
from pathlib import Path
from typing import IO, Any

from clipper_client.answers import Release
from clipper_client.cli.printing import complain, print_line, shown
from clipper_client.cli.subcommand import Command, Options, Result, arg, flag, repeated
from clipper_client.cli.tables import format_of
from clipper_client.clients import Client
from clipper_client.declarations.document import read
from clipper_client.declarations.plan import Change
from clipper_client.declarations.state import as_yaml, exported, state_of
from clipper_client.declarations.steps import check_conflicts, check_possible, differences, take
from clipper_client.operations.exporting import (
    CSV,
    JSON_LINES,
    KINDS,
    first_page,
    page,
    write_parquet,
)

SIGNS = {"create": "+", "delete": "-", "revoke": "-", "conflict": "!"}
WHAT = ("declarations", "data")
ACCEPTED = {"csv": CSV, "jsonl": JSON_LINES}
PARQUET = "parquet"
FORMATS = (*ACCEPTED, PARQUET)


def _diff(client: Client, options: Options) -> Result:
    changes = _changes(client, options)
    return _result_of(changes, options=options, code=2 if changes else 0)


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
    text = "\n".join(map(_text_of, changes)) or "Nothing differs."
    if not options.json and any(change.action == "conflict" for change in changes):
        print_line(text)
    check_conflicts(changes)
    value = {"changes": [change.as_dict() for change in changes], "applied": False}
    return Result(value, text, code)


def _text_of(change: Change) -> str:
    reason = f": {change.reason}" if change.reason else ""
    lines = [f"{SIGNS.get(change.action, '~')} {change.action} {change.kind} {change.name}{reason}"]
    for name, (old, new) in change.fields.items():
        lines.append(f"    {name}: {shown(old)} -> {shown(new)}")
    return "\n".join(lines)


def _export(client: Client, options: Options) -> Result | int:
    if options.what == "data":
        return _export_data(client, options)
    if options.since or options.until or options.version or options.format:
        raise ValueError("Expected `clipper export data APP`, got options of it.")
    keys = not options.no_keys
    found = exported(client.run(state_of, None, keys=keys), keys=keys)
    if options.output is None or options.json:
        return Result(found, as_yaml(found).rstrip())
    Path(options.output).write_text(as_yaml(found), encoding="utf-8")
    return 0


def _export_data(client: Client, options: Options) -> Result | int:
    if options.app is None:
        raise ValueError("Expected `clipper export data APP`, got no application.")
    span = {"since": options.since, "until": options.until, "versions": options.version}
    if options.json:
        rows = client.export(options.app, kinds=options.kind, frame=False, **span)
        return Result(rows, "")
    format = format_of(options.output or "data.csv", said=options.format, known=FORMATS)
    if format == PARQUET:
        if options.output is None:
            raise ValueError("--format parquet: expected --output FILE, got none.")
        where = {"target": options.output, "kind": options.kind}
        client.run(write_parquet, options.app, **where, **span)
        return 0
    first = first_page(options.app, kind=options.kind, **span)
    if options.output is None:
        _write(client, first, sys.stdout, accept=ACCEPTED[format])
    else:
        with Path(options.output).open("w", encoding="utf-8", newline="") as target:
            _write(client, first, target, accept=ACCEPTED[format])
    return 0


def _write(client: Client, first: str, target: IO[str], *, accept: str) -> None:
    path: str | None = first
    while path is not None:
        asked = path
        body, path = client.run(page, asked, accept=accept)
        text = body.decode()
        # Each page of CSV begins with the columns.
        target.write(text if asked == first or accept == JSON_LINES else text.partition("\n")[2])


FILE = (
    arg("-f --file", "clipper.yaml if left out", default="clipper.yaml"),
    flag("--prune", "remove what isn't in the file's sections"),
)
COMMANDS = [
    Command(
        name="apply",
        help="make models, applications and keys what a file declares",
        more="Shows what it changes. Said again, it changes nothing. Removes nothing unless asked.",
        arguments=[*FILE, flag("--dry-run", "only show what would be done")],
        run=_apply,
    ),
    Command(
        name="diff",
        help="show what apply would change",
        more="Exits with 2 if something differs, with 1 if apply would be refused.",
        arguments=FILE,
        run=_diff,
    ),
    Command(
        name="export",
        help="write declarations for apply, or an application's data",
        more="Artifacts aren't in declarations: versions are named by their digests.",
        arguments=[
            arg("what", "the first if left out", nargs="?", choices=WHAT, default=WHAT[0]),
            arg("app", "of data: the application", nargs="?"),
            arg("-o --output", "standard output if left out", metavar="FILE"),
            flag("--no-keys", "of declarations: leave the API keys out"),
            arg("--since", "of data: ISO 8601 with a zone, or how long ago, as 7d", metavar="TIME"),
            arg("--until", "of data: likewise", metavar="TIME"),
            repeated("--version", "of data: only what this one answered", "MODEL:VERSION"),
            arg("--kind", "of data: feedback if left out", choices=KINDS, default=KINDS[0]),
            arg("--format", "of data: by the ending of --output, else csv", choices=FORMATS),
        ],
        run=_export,
    ),
]
