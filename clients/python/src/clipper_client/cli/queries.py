"""Commands that ask an application: predictions and feedback."""

from __future__ import annotations

import argparse
import sys

import msgspec

from clipper_client.answers import Answer
from clipper_client.cli.command import Command, Options
from clipper_client.cli.models import json_value, parsed
from clipper_client.cli.output import print_json, print_line, shown
from clipper_client.cli.tables import STDIN
from clipper_client.client import Client
from clipper_client.operations.options import UNSET


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


def _by_name(text: str) -> dict[str, object]:
    given = json_value(text)
    if not isinstance(given, dict):
        raise argparse.ArgumentTypeError(f"expected an object of numbers by name, got {text}")
    return given


def _add_feedback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application that was asked")
    parser.add_argument("query_id", nargs="?", type=str.strip, help="of the answer")
    told = parser.add_mutually_exclusive_group(required=True)
    told.add_argument("--label", type=json_value, default=UNSET, metavar="JSON", help="the truth")
    told.add_argument("--reward", type=float, metavar="R", help="how good it was, 0 to 1")
    parser.add_argument(
        "--input", type=json_value, default=UNSET, metavar="JSON", help="instead of a query id"
    )
    parser.add_argument("--context", help="of the input")
    parser.add_argument(
        "--metrics", type=_by_name, metavar="JSON", help="further numbers from 0 to 1 by name"
    )


def _feedback(client: Client, options: Options) -> int:
    result = client.feedback(
        options.query_id,
        label=options.label,
        reward=options.reward,
        metrics=options.metrics,
        row=options.input,
        context=options.context,
        app=options.app,
    )
    if options.json:
        print_json(msgspec.to_builtins(result))
    else:
        print_line("accepted" if result.accepted else "known already")
    return 0


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
)
