"""The command that gives feedback: one piece, or a file of them."""

import csv
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from hashlib import blake2b
from pathlib import Path
from typing import Any

from clipper_client.answers import FeedbackResult
from clipper_client.cli.printing import complain
from clipper_client.cli.subcommand import Command, Options, Result, arg, json_arg, parsed
from clipper_client.cli.tables import cell, format_of, number, opened, takes_columns
from clipper_client.clients import Client
from clipper_client.clipper_error import ClipperError
from clipper_client.inputs import encoded
from clipper_client.options import UNSET

QUERY_ID, LABEL, REWARD = "query_id", "label", "reward"
FORMATS = ("csv", "jsonl")
Item = Mapping[str, Any]


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


def _feedback_of_file(client: Client, options: Options) -> Result:
    others = (options.query_id, options.context, options.metrics, options.reward)
    if any(others) or options.input is not UNSET or options.label is not UNSET:
        raise ValueError("--file: expected no query id, and none of the options about one query.")
    accepted = duplicates = 0
    rejected: list[dict[str, Any]] = []
    for part in _parts(_items(client, options), file=options.file, rejected=rejected):
        try:
            result: FeedbackResult = client.feedback_batch(options.app, [item for _, item in part])
        except ClipperError:
            complain(f"stopped at line {part[0][0]}; given again, what was counted counts once")
            raise
        accepted += result.accepted
        duplicates += result.duplicates
        rejected += [
            {"line": part[each.index][0], "error": each.error, "code": each.code}
            for each in result.rejected
        ]
    rejected.sort(key=lambda rejection: rejection["line"])
    for each in rejected:
        complain(f"{options.file}, line {each['line']}: {each['error']}")
    return Result(
        {"accepted": accepted, "duplicates": duplicates, "rejected": rejected},
        f"{accepted:,} accepted, {duplicates:,} known already, {len(rejected):,} rejected",
        int(bool(rejected)),
    )


def _parts(
    items: Iterator[tuple[int, Item | ValueError]], *, file: str, rejected: list[dict[str, Any]]
) -> Iterator[list[tuple[int, Item]]]:
    """Yield as many items as go into a request, with their lines; list malformed ones."""
    part: list[tuple[int, Item]] = []
    size = 0
    for line, item in items:
        if isinstance(item, ValueError):
            rejected.append({"line": line, "error": str(item), "code": "malformed"})
            continue
        text = encoded(item)
        if QUERY_ID not in item:
            # A file counts once under its name, even if one of its lines was mended meanwhile.
            place = f"{Path(file).name}:{line}:".encode()
            known = blake2b(place + text, digest_size=16).hexdigest()
            item = {"idempotency_key": known, **item}
        # The server takes 1,000 pieces in a request, and 16 MB by default.
        if part and (len(part) == 500 or size + len(text) > 4 << 20):
            yield part
            part, size = [], 0
        part.append((line, item))
        size += len(text)
    if part:
        yield part


def _items(client: Client, options: Options) -> Iterator[tuple[int, Item | ValueError]]:
    format = format_of(options.file, said=options.format, known=FORMATS)
    with opened(options.file) as lines:
        if format == "jsonl":
            texts = ((line, text) for line, text in enumerate(lines, start=1) if text.strip())
            yield from _read(_object, texts)
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
        read = partial(_row, head, by_query=by_query, columns=columns)
        yield from _read(read, ((reader.line_num, cells) for cells in reader if cells))


def _read(
    read: Callable[[Any], Item], lines: Iterable[tuple[int, Any]]
) -> Iterator[tuple[int, Item | ValueError]]:
    for line, text in lines:
        try:
            yield line, read(text)
        except ValueError as error:
            yield line, error


def _object(text: str) -> Item:
    found = parsed(text)
    if not isinstance(found, dict):
        raise ValueError(f"expected an object, got {text.strip()[:60]}.")
    return found


def _row(head: list[str], cells: list[str], *, by_query: bool, columns: bool) -> Item:
    """Return a row of CSV; a label is JSON if it can be, else a text."""
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


COMMANDS = [
    Command(
        name="feedback",
        help="say what was right, or how good an answer was: of one query, or of a file",
        more="A file has the columns query_id and label or reward, or those of inputs and label. "
        "It counts once under its name. Exits with 1 if any line was rejected.",
        arguments=[
            arg("app", "the application that was asked"),
            arg("query_id", "of the answer", nargs="?", type=str.strip),
            json_arg("--label", "the truth", default=UNSET),
            arg("--reward", "how good it was, 0 to 1", type=float, metavar="R"),
            arg("-f --file", "CSV, or JSON lines; - for standard input"),
            arg("--format", "of the file; by its ending if left out", choices=FORMATS),
            json_arg("--input", "instead of a query id", default=UNSET),
            arg("--context", "of the input"),
            json_arg("--metrics", "further numbers from 0 to 1 by name"),
        ],
        run=_feedback,
    ),
]
