"""The command that asks an application for a prediction."""

from __future__ import annotations

import argparse
import sys

from clipper_client.answers import Answer
from clipper_client.cli.command import Command, Options
from clipper_client.cli.models import json_value, parsed
from clipper_client.cli.output import print_json, print_line, shown
from clipper_client.cli.tables import STDIN
from clipper_client.client import Client
from clipper_client.errors import ClipperError


def add_asking(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--for", dest="kept", metavar="KEY", help="whom to keep with one version")
    parser.add_argument(
        "--features", type=json_value, metavar="JSON", help="what the policy chooses by"
    )
    add_asking(parser)


def _predict(client: Client, options: Options) -> int:
    given = parsed(sys.stdin.read() if options.input == STDIN else options.input)
    if not options.batch:
        answer = client.predict(
            options.app,
            given,
            context=options.context,
            key=options.kept,
            features=options.features,
            version=options.version,
            timeout_ms=options.timeout_ms,
        )
        _print_answer(answer, as_json=options.json)
        return 0
    answers = client.predict_batch(
        options.app,
        given,
        context=options.context,
        key=options.kept,
        features=options.features,
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


def takes_columns(client: Client, app: str) -> bool:
    """Whether rows have names; a key that may not look at the application sends numbers."""
    try:
        found = client.request("GET", f"applications/{app}")
    except ClipperError as error:
        if error.status == 403:
            return False
        raise
    return bool(found["input_type"] in ("columns", "json"))


COMMANDS = (
    Command(
        name="predict",
        help="ask an application about an input",
        add_arguments=_add_predict,
        run=_predict,
    ),
)
