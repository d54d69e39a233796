"""The command that compares: what each version alone, or another policy, would have earned."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import print_json, print_line, print_table
from clipper_client.client import Client
from clipper_client.operations.options import given
from clipper_client.operations.predictions import application_path

VERDICTS = {"enough": "yes", "little": "can't say yet", "apart": "not comparable"}
SPAN = ("inputs", "context", "since", "until", "rows")
# A server that is short of cores may take so long.
SERVER_S = 120.0
HEAD = ("instead", "reward, 95 % interval", "gain on what was earned", "enough to decide by")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application")
    parser.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help="this policy, with its defaults; may be given several times",
    )
    parser.add_argument(
        "--inputs", action="store_true", default=None, help="of labelled inputs, not of queries"
    )
    parser.add_argument("--context", help="of this context only")
    parser.add_argument("--since", metavar="TIME", help="ISO 8601 with a zone")
    parser.add_argument("--until", metavar="TIME", help="ISO 8601 with a zone")
    parser.add_argument("--rows", type=int, metavar="N", help="the latest N (20000)")


def _what_if(client: Client, options: Options) -> int:
    body = {name: getattr(options, name) for name in SPAN}
    path = application_path(options.app, "what-if")
    if options.policy:
        body["targets"] = [{"policy": name} for name in options.policy]
    found = client.request("POST", path, given(body), extra_time_s=SERVER_S)
    if options.json:
        print_json(found)
        return 0
    earned = found["earned"]
    print_line(f"{earned['rows']} answers with feedback earned {_interval(earned['value'])}")
    print_table(HEAD, [_row(estimate) for estimate in found["estimates"]])
    return 0


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


COMMANDS = (
    Command(
        name="what-if",
        help="tell what each version alone, or another policy, would have earned",
        more="Estimated from the feedback that was kept.",
        add_arguments=_add_arguments,
        run=_what_if,
    ),
)
