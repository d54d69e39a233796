"""The command that exports: declarations, and the data that an application stored."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, Any

import msgspec

from clipper_client.cli.command import Command, Options, Result, arg, complain, flag
from clipper_client.client import Client
from clipper_client.declarations.export import as_yaml, exported
from clipper_client.declarations.state import state_of
from clipper_client.operations.exporting import CSV, JSON_LINES, KINDS, first_page, page
from clipper_client.progress import Bar

DECLARATIONS, DATA = "declarations", "data"
FORMATS = ("csv", "jsonl")
# Options for `data` alone.
OF_DATA = ("app", "since", "until", "version", "kind", "format")


def _export(client: Client, options: Options) -> Result | int:
    if options.what == DATA:
        return _export_data(client, options)
    if wrong := [f"--{name}" for name in OF_DATA if getattr(options, name)]:
        raise ValueError(f"{', '.join(wrong)}: expected `clipper export data APP`.")
    keys = not options.no_keys
    found = exported(client.run(state_of, None, keys=keys), keys=keys)
    if options.output is None or options.json:
        return Result(found, as_yaml(found).rstrip())
    Path(options.output).write_text(as_yaml(found), encoding="utf-8")
    return 0


# --- Data ---------------------------------------------------------------------------------------


def _export_data(client: Client, options: Options) -> Result | int:
    if options.app is None:
        raise ValueError("Expected `clipper export data APP`, got no application.")
    ending = Path(options.output or "").suffix[1:].replace("ndjson", "jsonl")
    options.format = options.format or ending or "csv"
    if options.format not in FORMATS:
        raise ValueError(f"Expected a file of csv or jsonl, or --format, got {options.output}.")
    if options.json:
        return Result(list(_rows(client, options)), "")
    if options.output is None:
        _write(client, options, sys.stdout)
    else:
        with Path(options.output).open("w", encoding="utf-8", newline="") as target:
            _write(client, options, target)
    return 0


def _write(client: Client, options: Options, target: IO[str]) -> None:
    accept = JSON_LINES if options.format == "jsonl" else CSV
    for number, body in enumerate(_pages(client, options, accept=accept)):
        text = body.decode()
        # Each page of CSV begins with the columns.
        target.write(text.partition("\n")[2] if number and accept == CSV else text)


def _rows(client: Client, options: Options) -> Iterator[dict[str, Any]]:
    has_any = False
    for body in _pages(client, options, accept=JSON_LINES):
        for line in body.splitlines():
            has_any = True
            yield msgspec.json.decode(line)
    if not has_any:
        complain(f"nothing to write: {options.app} has no such {options.kind or KINDS[0]}")


def _pages(client: Client, options: Options, *, accept: str) -> Iterator[bytes]:
    path: str | None = first_page(
        options.app,
        kind=options.kind or KINDS[0],
        since=options.since,
        until=options.until,
        versions=options.version or (),
    )
    with closing(Bar("rows", total=None, shown=None if options.output else False)) as bar:
        rows = 0
        while path is not None:
            body, path = client.run(page, path, accept=accept)
            rows += body.count(b"\n") - (accept == CSV)
            bar.show(rows)
            yield body


COMMANDS = [
    Command(
        name="export",
        help="write declarations for apply, or an application's data",
        more="Artifacts aren't in declarations: versions are named by their digests. Data is "
        "feedback, decisions or the sample of predictions, page by page.",
        arguments=[
            arg(
                "what",
                "declarations if left out: models, applications and keys as a file for apply; "
                "data: what an application stored",
                nargs="?",
                choices=(DECLARATIONS, DATA),
                default=DECLARATIONS,
            ),
            arg("app", "of data: the application", nargs="?"),
            arg("-o --output", "standard output if left out", metavar="FILE"),
            flag("--no-keys", "of declarations: leave the API keys out"),
            arg("--since", "of data: ISO 8601 with a zone, or how long ago, as 7d", metavar="TIME"),
            arg("--until", "of data: likewise", metavar="TIME"),
            arg(
                "--version",
                "of data: only what this one answered; may be given several times",
                action="append",
                metavar="MODEL:VERSION",
            ),
            arg("--kind", "of data: feedback if left out, predictions are a sample", choices=KINDS),
            arg(
                "--format",
                "of data: by the ending of --output if left out, else csv",
                choices=FORMATS,
            ),
        ],
        run=_export,
    ),
]
