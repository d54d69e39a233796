"""The command that asks an application for a prediction."""

from __future__ import annotations

import sys
from typing import Any

from clipper_client.answers import Answer
from clipper_client.cli.command import (
    Command,
    Options,
    Result,
    arg,
    flag,
    json_value,
    parsed,
    shown,
)
from clipper_client.cli.tables import STDIN
from clipper_client.client import Client
from clipper_client.errors import ClipperError

ASKING = (
    arg("--context", "whose selection state to use"),
    arg("--version", "ask just this one", metavar="MODEL:VERSION"),
)


def _predict(client: Client, options: Options) -> Result:
    given = parsed(sys.stdin.read() if options.input == STDIN else options.input)
    names = ("context", "key", "features", "version", "timeout_ms")
    said: Any = {name: getattr(options, "kept" if name == "key" else name) for name in names}
    if not options.batch:
        answer = client.predict(options.app, given, **said)
        return Result(answer.as_dict(), _text_of(answer))
    answers = client.predict_batch(options.app, given, **said)
    return Result(
        [answer.as_dict() for answer in answers],
        "\n".join(map(_text_of, answers)),
        int(any(answer.error for answer in answers)),
    )


def _text_of(answer: Answer) -> str:
    if answer.error is not None:
        return f"failed: {answer.error}"
    if answer.default:
        return f"{shown(answer.output)}  (the default: {answer.default_explanation})"
    return shown(answer.output)


def takes_columns(client: Client, app: str) -> bool:
    """Return whether rows have names; a key that may not look at the application sends numbers."""
    try:
        found = client.request("GET", f"applications/{app}")
    except ClipperError as error:
        if error.status == 403:
            return False
        raise
    return found["input_type"] in ("columns", "json")


COMMANDS = [
    Command(
        name="predict",
        help="ask an application about an input",
        arguments=[
            arg("app", "the application to ask"),
            arg(
                "input",
                "one input as JSON; - or left out: standard input",
                nargs="?",
                default=STDIN,
            ),
            flag("--batch", "it is an array of inputs, answered in order"),
            arg("--timeout-ms", "less than the objective gives", type=float, metavar="MS"),
            arg("--for", "whom to keep with one version", dest="kept", metavar="KEY"),
            arg("--features", "what the policy chooses by", type=json_value, metavar="JSON"),
            *ASKING,
        ],
        run=_predict,
    ),
]
