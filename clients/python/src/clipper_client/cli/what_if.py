"""The command that compares: what each version alone, or another policy, would have earned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from clipper_client.cli.command import Command, Options, Result, arg, table
from clipper_client.client import Client
from clipper_client.options import application_path, given

VERDICTS = {"enough": "yes", "little": "can't say yet", "apart": "not comparable"}
SPAN = ("inputs", "context", "since", "until", "rows")
# A server that is short of cores may take so long.
SERVER_S = 120.0
HEAD = ("instead", "reward, 95 % interval", "gain on what was earned", "enough to decide by")


def _what_if(client: Client, options: Options) -> Result:
    body = {name: getattr(options, name) for name in SPAN}
    path = application_path(options.app, "what-if")
    if options.policy:
        body["targets"] = [{"policy": name} for name in options.policy]
    found = client.request("POST", path, given(body), extra_time_s=SERVER_S)
    earned = found["earned"]
    text = f"{earned['rows']} answers with feedback earned {_interval(earned['value'])}\n"
    return Result(found, (text + table(HEAD, map(_row, found["estimates"]))).rstrip("\n"))


def _row(estimate: Mapping[str, Any]) -> list[str]:
    verdict = VERDICTS.get(estimate["verdict"], "can't say")
    return [
        estimate["name"],
        _interval(estimate["estimate"]),
        _interval(estimate["gain"], sign="+"),
        f"{verdict}: {estimate['explanation']}",
    ]


def _interval(reward: Mapping[str, float] | None, *, sign: str = "") -> str:
    if reward is None:
        return "-"
    value, low, high = (f"{reward[part]:{sign}.3f}" for part in ("value", "low", "high"))
    return f"{value} ({low} to {high})"


COMMANDS = [
    Command(
        name="what-if",
        help="estimate what each version alone, or another policy, would have earned",
        more="Estimated from the feedback that was kept.",
        arguments=[
            arg("app", "the application"),
            arg(
                "--policy",
                "this policy, with its defaults; may be given several times",
                action="append",
                metavar="NAME",
            ),
            arg(
                "--inputs", "of labelled inputs, not of queries", action="store_true", default=None
            ),
            arg("--context", "of this context only"),
            arg("--since", "ISO 8601 with a zone", metavar="TIME"),
            arg("--until", "ISO 8601 with a zone", metavar="TIME"),
            arg("--rows", "the latest N (20000)", type=int, metavar="N"),
        ],
        run=_what_if,
    ),
]
