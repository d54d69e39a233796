"""The command that compares: what each version alone, or another policy, would have earned."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import print_json, print_line, print_table
from clipper_client.client import Client
from clipper_client.operations.options import given
from clipper_client.operations.predictions import application_path

VERDICTS = {"enough": "yes", "little": "can't say yet", "apart": "not comparable"}
FORMATS = ("vw", "vw_cb", "dsjson", "obp")
SPAN = ("inputs", "context", "since", "until", "rows")
# A server that is short of cores may take so long.
SERVER_S = 120.0
HEAD = ("instead", "reward, 95 % interval", "gain on what was earned", "enough to decide by")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application")
    asked = parser.add_mutually_exclusive_group()
    asked.add_argument(
        "--policy",
        action="append",
        metavar="NAME",
        help="this policy, with its defaults; may be given several times",
    )
    asked.add_argument(
        "--search",
        metavar="POLICY",
        help="search this policy's parameters: chosen on the earlier part of the feedback, judged "
        "on the later one",
    )
    parser.add_argument(
        "--log",
        type=Path,
        metavar="FILE",
        help="on these decisions of another system, not on kept feedback; takes --format",
    )
    parser.add_argument("--format", choices=FORMATS, help="how --log is written")
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
    if options.log or options.format:
        body, path = _imported(options, span=body), f"{path}/imported"
    elif options.search:
        return _search(client, options, body=body)
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


def _imported(options: Options, *, span: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is asked of a log of others, all of which is looked at."""
    if not (options.log and options.format):
        raise ValueError("--log: expected --format beside it, and --format a --log.")
    if options.search or given(span):
        told = ", ".join(f"--{name}" for name in ("search", *SPAN))
        raise ValueError(f"--log: expected none of {told} beside it: all of the file counts.")
    return {"format": options.format, "log": _text_of(options.log)}


def _text_of(log: Path) -> str:
    """Names that differ must not become one: what is no text is refused."""
    content = log.read_bytes()
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ValueError(f"--log: line {line}: expected UTF-8, got {error.reason}.") from error


def _search(client: Client, options: Options, *, body: Mapping[str, Any]) -> int:
    path = application_path(options.app, "what-if", "search")
    asked = given({**body, "policy": options.search})
    found = client.request("POST", path, asked, extra_time_s=SERVER_S)
    if options.json:
        print_json(found)
        return 0
    if found["chosen"] is None:
        print_line(found["conclusion"])
        return 0
    print_table(
        ("tried on the earlier part", "reward, 95 % interval"),
        [(_params(tried), _interval(tried["estimate"])) for tried in found["tried"]],
    )
    if found["left_out"]:
        print_line(f"{found['left_out']} more were not tried: the time was used up")
    print_line(f"on the {found['judged_on']} later pieces of feedback:")
    for what in ("chosen", "current"):
        print_line(f"{what}: {found[what]['name']}: {_interval(found[what]['estimate'])}")
    print_line(f"gain {_interval(found['gain'], sign='+')}: {found['conclusion']}")
    return 0


def _params(tried: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in tried["params"].items())


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
    value, low, high = (f"{reward[part]:{sign}.3f}" for part in ("reward", "low", "high"))
    return f"{value} ({low} to {high})"


COMMANDS = (
    Command(
        name="what-if",
        help="tell what each version alone, or another policy, would have earned",
        more="Estimated from the feedback that was kept, or from a log of another system.",
        add_arguments=_add_arguments,
        run=_what_if,
    ),
)
