"""Commands that ask an application: predictions, feedback, scoring."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import msgspec

from clipper_client.answers import Answer
from clipper_client.cli.command import Command, Options
from clipper_client.cli.models import json_value, parsed
from clipper_client.cli.output import print_json, print_line, shown
from clipper_client.cli.tables import FORMATS, STDIN, format_of, rows_in
from clipper_client.client import Client
from clipper_client.errors import ClipperError
from clipper_client.operations.options import UNSET


def _add_asking(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--context", help="whose selection state to use")
    parser.add_argument("--version", metavar="MODEL:VERSION", help="ask just this one")


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application to ask")
    parser.add_argument(
        "input", nargs="?", default=STDIN, help="one input as JSON; - or left out: standard input"
    )
    parser.add_argument(
        "--batch", action="store_true", help="it is an array of inputs, answered in order"
    )
    parser.add_argument(
        "--timeout-ms", type=float, metavar="MS", help="less than the objective gives"
    )
    _add_asking(parser)


def _predict(client: Client, options: Options) -> int:
    given = parsed(sys.stdin.read() if options.input == STDIN else options.input)
    if not options.batch:
        answer = client.predict(
            options.app,
            given,
            context=options.context,
            version=options.version,
            timeout_ms=options.timeout_ms,
        )
        _print_answer(answer, as_json=options.json)
        return 0
    answers = client.predict_batch(
        options.app,
        given,
        context=options.context,
        version=options.version,
        timeout_ms=options.timeout_ms,
    )
    if options.json:
        print_json([answer.as_dict() for answer in answers])
    else:
        for answer in answers:
            _print_answer(answer, as_json=False)
    return int(any(answer.error for answer in answers))


def _print_answer(answer: Answer, *, as_json: bool) -> None:
    if as_json:
        print_json(answer.as_dict())
    elif answer.error is not None:
        print_line(f"failed: {answer.error}")
    elif answer.default:
        print_line(f"{shown(answer.output)}  (the default: {answer.default_explanation})")
    else:
        print_line(shown(answer.output))


def _add_feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application that was asked")
    parser.add_argument("query_id", nargs="?", help="of the answer")
    told = parser.add_mutually_exclusive_group(required=True)
    told.add_argument("--label", type=json_value, default=UNSET, metavar="JSON", help="the truth")
    told.add_argument("--reward", type=float, metavar="R", help="how good it was, 0 to 1")
    parser.add_argument(
        "--input", type=json_value, default=UNSET, metavar="JSON", help="instead of a query id"
    )
    parser.add_argument("--context", help="of the input")


def _feedback(client: Client, options: Options) -> int:
    result = client.feedback(
        options.query_id,
        label=options.label,
        reward=options.reward,
        row=options.input,
        context=options.context,
        app=options.app,
    )
    if options.json:
        print_json(msgspec.to_builtins(result))
    else:
        print_line("accepted" if result.accepted else "known already")
    return 0


def _add_score(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application to ask")
    parser.add_argument("file", help="CSV with a head, JSON lines or .npy; - for standard input")
    parser.add_argument("-o", "--output", metavar="FILE", help="standard output if left out")
    parser.add_argument("--format", choices=FORMATS, help="told by the file's ending if left out")
    parser.add_argument(
        "--keep-errors",
        action="store_true",
        help='a row that failed becomes {"error", "code"} rather than an end',
    )
    _add_asking(parser)


def _score(client: Client, options: Options) -> int:
    format = format_of(options.file, said=options.format)
    columns = format == "csv" and _takes_columns(client, options.app)
    outputs = client.score(
        options.app,
        rows_in(options.file, format=format, columns=columns),
        progress=sys.stderr.isatty(),
        context=options.context,
        version=options.version,
        errors="keep" if options.keep_errors else "raise",
    )
    with _written(options.output) as target:
        if options.json:
            target.write(msgspec.json.encode([_plain(output) for output in outputs]).decode())
        else:
            for output in outputs:
                target.write(f"{msgspec.json.encode(_plain(output)).decode()}\n")
    return 0


def _plain(output: Any) -> Any:
    if isinstance(output, ClipperError):
        return {"error": output.message, "code": output.code}
    return output


def _takes_columns(client: Client, app: str) -> bool:
    """Whether rows have names; a key that may not look at the application sends numbers."""
    try:
        found = client.request("GET", f"applications/{app}")
    except ClipperError as error:
        if error.status == 403:
            return False
        raise
    return bool(found["input_type"] in ("columns", "json"))


@contextmanager
def _written(file: str | None) -> Iterator[IO[str]]:
    if file is None:
        yield sys.stdout
    else:
        with Path(file).open("w", encoding="utf-8") as target:
            yield target


COMMANDS = (
    Command(
        name="predict",
        help="ask an application about an input",
        add_arguments=_add_predict,
        run=_predict,
    ),
    Command(
        name="feedback",
        help="say what was right, or how good an answer was",
        add_arguments=_add_feedback,
        run=_feedback,
    ),
    Command(
        name="score",
        help="print a model's output for each row of a file",
        more="Not bound to the objective; one line of JSON for each row, in order.",
        add_arguments=_add_score,
        run=_score,
    ),
)
