"""The command that gives feedback: one piece, or a file of them."""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

from clipper_client.cli.command import (
    Command,
    Options,
    Result,
    arg,
    complain,
    either,
    json_value,
    parsed,
)
from clipper_client.cli.predictions import takes_columns
from clipper_client.cli.tables import cell, format_of, number, opened
from clipper_client.client import Client
from clipper_client.errors import ClipperError
from clipper_client.inputs import encoded
from clipper_client.options import UNSET
from clipper_client.progress import Bar

QUERY_ID, LABEL, REWARD = "query_id", "label", "reward"
FORMATS = ("csv", "jsonl")
# Limits of one request: the server takes 1,000 pieces, and 16 MB by default.
AT_ONCE, BYTES_AT_ONCE = 500, 4 << 20
MOST_SHOWN = 20


def _by_name(text: str) -> dict[str, object]:
    given = json_value(text)
    if not isinstance(given, dict):
        raise argparse.ArgumentTypeError(f"expected an object of numbers by name, got {text}")
    return given


def _feedback(client: Client, options: Options) -> Result:
    if options.file is not None:
        return _feedback_of_file(client, options)
    result = client.feedback(
        options.query_id,
        label=options.label,
        reward=options.reward,
        metrics=options.metrics,
        row=options.input,
        context=options.context,
        app=options.app,
    )
    return Result(result, "accepted" if result.accepted else "known already")


@dataclass(slots=True)
class _Outcome:
    """Counts of a file's lines, and those that were rejected."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, Any]] = field(default_factory=list)

    def reject(self, line: int, *, error: str, code: str) -> None:
        self.rejected.append({"line": line, "error": error, "code": code})


def _feedback_of_file(client: Client, options: Options) -> Result:
    if options.query_id or options.input is not UNSET or options.context or options.metrics:
        raise ValueError("--file: expected neither a query id nor --input, --context or --metrics.")
    format = format_of(options.file, said=options.format)
    if format not in FORMATS:
        raise ValueError(f"Expected a file of {', '.join(FORMATS)}, got {options.file}.")
    outcome = _Outcome()
    with closing(Bar("lines", total=None, shown=None)) as bar:
        for part in _parts(
            _items(client, options, format=format), file=options.file, outcome=outcome
        ):
            try:
                result = client.feedback_batch(options.app, [item for _, item in part])
            except ClipperError:
                complain(f"stopped at line {part[0][0]}; given again, what was counted counts once")
                raise
            outcome.accepted += result.accepted
            outcome.duplicates += result.duplicates
            for rejection in result.rejected:
                line = part[rejection.index][0]
                outcome.reject(line, error=rejection.error, code=rejection.code)
            bar.show(part[-1][0])
    outcome.rejected.sort(key=lambda rejection: rejection["line"])
    for each in outcome.rejected[:MOST_SHOWN]:
        complain(f"{options.file}, line {each['line']}: {each['error']}")
    if (more := len(outcome.rejected) - MOST_SHOWN) > 0:
        complain(f"and {more:,} more; --json names all of them")
    text = (
        f"{outcome.accepted:,} accepted, {outcome.duplicates:,} known already, "
        f"{len(outcome.rejected):,} rejected"
    )
    return Result(outcome, text, int(bool(outcome.rejected)))


Item = Mapping[str, Any]


def _parts(
    items: Iterator[tuple[int, Item | ValueError]], *, file: str, outcome: _Outcome
) -> Iterator[list[tuple[int, Item]]]:
    """Yield as many items as go into a request, each with its line; the others are rejected."""
    part: list[tuple[int, Item]] = []
    size = 0
    for line, item in items:
        if isinstance(item, ValueError):
            outcome.reject(line, error=str(item), code="malformed")
            continue
        text = encoded(item)
        if QUERY_ID not in item:
            # A file counts once, however often it is given under its name, also if one of its lines
            # was mended meanwhile.
            place = f"{Path(file).name}:{line}:".encode()
            known = blake2b(place + text, digest_size=16).hexdigest()
            item = {"idempotency_key": known, **item}
        if part and (len(part) == AT_ONCE or size + len(text) > BYTES_AT_ONCE):
            yield part
            part, size = [], 0
        part.append((line, item))
        size += len(text)
    if part:
        yield part


def _items(
    client: Client, options: Options, *, format: str
) -> Iterator[tuple[int, Item | ValueError]]:
    """Yield each line's number and its feedback, or what is wrong with it."""
    with opened(options.file) as lines:
        if format == "jsonl":
            for line, text in enumerate(lines, start=1):
                if text.strip():
                    yield line, _attempt(_object, text)
            return
        reader = csv.reader(lines)
        head = next(reader, [])
        by_query = QUERY_ID in head
        if not (LABEL in head or (by_query and REWARD in head)):
            raise ValueError(
                f"{options.file}: expected the columns {QUERY_ID} and {LABEL} or {REWARD}, or "
                f"those of inputs and {LABEL}, got {', '.join(head) or 'nothing'}."
            )
        columns = not by_query and takes_columns(client, options.app)
        for cells in reader:
            if cells:
                item = _attempt(_row, head, cells, by_query=by_query, columns=columns)
                yield reader.line_num, item


def _object(text: str) -> Item:
    found = parsed(text)
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, got {text.strip()[:60]}.")
    return found


def _row(head: list[str], cells: list[str], *, by_query: bool, columns: bool) -> Item:
    """Return a row of CSV; a label is JSON where it is any, else a text."""
    if len(cells) != len(head):
        raise ValueError(f"expected {len(head)} cells, got {len(cells)}.")
    row = dict(zip(head, cells, strict=True))
    label, reward = row.pop(LABEL, ""), row.get(REWARD, "")
    if by_query:
        if bool(label) == bool(reward):
            raise ValueError(f"expected either a {LABEL} or a {REWARD}.")
        truth = {LABEL: _label(label)} if label else {REWARD: number(reward, where=REWARD)}
        return {QUERY_ID: row[QUERY_ID].strip(), **truth}
    if not label:
        raise ValueError(f"expected a {LABEL}, got nothing.")
    given: Any = {name: cell(text) for name, text in row.items()}
    if not columns:
        given = [number(text, where=name) for name, text in row.items()]
    return {"input": given, LABEL: _label(label)}


def _label(text: str) -> Any:
    try:
        return parsed(text)
    except ValueError:
        return text


def _attempt(read: Any, *arguments: Any, **options: Any) -> Item | ValueError:
    try:
        found: Item = read(*arguments, **options)
        return found
    except ValueError as error:
        return error


COMMANDS = [
    Command(
        name="feedback",
        help="say what was right, or how good an answer was: of one query, or of a file",
        more="For a file it prints how many were accepted, known already and rejected, with their "
        "lines, and exits with 1 if any was rejected. A file counts once, however often it is "
        "given under its name.",
        arguments=[
            arg("app", "the application that was asked"),
            arg("query_id", "of the answer", nargs="?", type=str.strip),
            either(
                arg("--label", "the truth", type=json_value, default=UNSET, metavar="JSON"),
                arg("--reward", "how good it was, 0 to 1", type=float, metavar="R"),
                arg(
                    "-f --file",
                    "CSV with the columns query_id and label or reward, or with those of "
                    "inputs and label; or JSON lines as the server takes them; - for standard "
                    "input",
                ),
                required=True,
            ),
            arg("--format", "of the file; by its ending if left out", choices=FORMATS),
            arg("--input", "instead of a query id", type=json_value, default=UNSET, metavar="JSON"),
            arg("--context", "of the input"),
            arg("--metrics", "further numbers from 0 to 1 by name", type=_by_name, metavar="JSON"),
        ],
        run=_feedback,
    ),
]
