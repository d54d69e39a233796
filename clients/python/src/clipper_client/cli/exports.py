"""The command that writes what there is: declarations, and the data that an application stored."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote

import msgspec

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import complain, print_json, print_line
from clipper_client.client import Client
from clipper_client.declarations.export import as_yaml, exported
from clipper_client.declarations.state import state_of
from clipper_client.operations.exporting import CSV, JSON_LINES, KINDS, first_page, page
from clipper_client.progress import Bar
from clipper_client.retries import RetryPolicy

DECLARATIONS, DATA = "declarations", "data"
DECISIONS = "decisions"
Decision = Mapping[str, Any]
# The first, which has no name there either, is the number of the row.
OBP_COLUMNS = ("", "timestamp", "item_id", "position", "click", "propensity_score")
FORMATS = ("csv", "jsonl", "vw", "obp")
# What only `data` takes.
OF_DATA = ("app", "since", "until", "version", "kind", "format")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="?",
        choices=(DECLARATIONS, DATA),
        default=DECLARATIONS,
        help="declarations if left out: models, applications and keys as a file for apply; "
        "data: what an application stored",
    )
    parser.add_argument("app", nargs="?", help="of data: the application")
    parser.add_argument("-o", "--output", metavar="FILE", help="standard output if left out")
    parser.add_argument(
        "--no-keys", action="store_true", help="of declarations: leave the API keys out"
    )
    parser.add_argument(
        "--since", metavar="TIME", help="of data: ISO 8601 with a zone, or how long ago, as 7d"
    )
    parser.add_argument("--until", metavar="TIME", help="of data: likewise")
    parser.add_argument(
        "--version",
        action="append",
        metavar="MODEL:VERSION",
        help="of data: only what this one answered; may be given several times",
    )
    parser.add_argument(
        "--kind", choices=KINDS, help="of data: feedback if left out, predictions are a sample"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        help="of data: told by the ending of --output, else csv; vw: decisions for --cb_adf of "
        "Vowpal Wabbit; obp: decisions as a table of the Open Bandit Dataset",
    )


def _export(client: Client, options: Options) -> int:
    if options.what == DATA:
        return _export_data(client, options)
    if told := [f"--{name}" for name in OF_DATA if getattr(options, name)]:
        raise ValueError(f"{', '.join(told)}: expected `clipper export data APP`.")
    state = client.run(state_of(None, keys=not options.no_keys, policy=RetryPolicy()))
    found = exported(state, keys=not options.no_keys)
    if options.json:
        print_json(found)
    elif options.output is None:
        print_line(as_yaml(found).rstrip())
    else:
        Path(options.output).write_text(as_yaml(found), encoding="utf-8")
    return 0


# --- Data ---------------------------------------------------------------------------------------


def _export_data(client: Client, options: Options) -> int:
    if options.app is None:
        raise ValueError("Expected `clipper export data APP`, got no application.")
    ending = Path(options.output or "").suffix[1:].replace("ndjson", "jsonl")
    options.format = options.format or ending or "csv"
    if options.format not in FORMATS:
        raise ValueError(f"Expected a file of csv or jsonl, or --format, got {options.output}.")
    if options.json:
        print_json(list(_rows(client, options)))
    elif options.output is None:
        _write(client, options, sys.stdout)
    else:
        with Path(options.output).open("w", encoding="utf-8", newline="") as target:
            _write(client, options, target)
    return 0


def _write(client: Client, options: Options, target: IO[str]) -> None:
    format = options.format
    if format in FORMATS_OF_DECISIONS:
        if options.kind not in (None, DECISIONS):
            raise ValueError(f"--kind: expected {DECISIONS} with {format}, got {options.kind}.")
        options.kind = DECISIONS
        FORMATS_OF_DECISIONS[format](_rows(client, options), target)
        return
    accept = JSON_LINES if format == "jsonl" else CSV
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
            body, path = client.run(page(path, accept=accept, policy=RetryPolicy()))
            rows += body.count(b"\n") - (accept == CSV)
            bar.show(rows)
            yield body


def write_vw(decisions: Iterable[Decision], target: IO[str]) -> None:
    for decision in decisions:
        target.write("\n".join([*vw_lines(decision), "", ""]))


def vw_lines(decision: Decision) -> list[str]:
    """Return a decision as lines of --cb_adf: what is shared, then each arm; names are quoted."""
    features = " ".join(f"f{k}:{value!r}" for k, value in enumerate(decision["features"]))
    context = f"c={quote(decision['context'], safe='')}" if decision["context"] else ""
    label = f"0:{1.0 - decision['reward']!r}:{decision['propensity']!r} "
    return [
        f"shared |context {context} |features {features}",
        *(
            f"{label if arm == decision['version'] else ''}|arm {quote(arm, safe='')}"
            for arm in decision["routed"]
        ),
    ]


def write_obp(decisions: Iterable[Decision], target: IO[str]) -> None:
    csv.writer(target, lineterminator="\n").writerows(obp_rows(decisions))


def obp_rows(decisions: Iterable[Decision]) -> Iterator[list[Any]]:
    """Yield a head and rows as the Open Bandit Dataset's, with what that lacks at their ends.

    Items are numbered as they appear; `arm` names them. Where features are of another number than
    the first decision's, the row has none.
    """
    items: dict[str, int] = {}
    width = 0
    for number, decision in enumerate(decisions):
        features = decision["features"]
        if not number:
            width = len(features)
            names = [f"user_feature_{k}" for k in range(width)]
            yield [*OBP_COLUMNS, *names, "arm", "arms", "context"]
        item = items.setdefault(decision["version"], len(items))
        yield [
            *(number, decision["asked_at"], item, 1, decision["reward"], decision["propensity"]),
            *(features if len(features) == width else [""] * width),
            *(decision["version"], " ".join(decision["routed"]), decision["context"]),
        ]


FORMATS_OF_DECISIONS: dict[str, Callable[[Iterable[Decision], IO[str]], None]] = {
    "vw": write_vw,
    "obp": write_obp,
}

COMMANDS = (
    Command(
        name="export",
        help="write what there is: declarations for apply, or an application's data",
        more="Artifacts aren't in declarations: versions are named by their digests. Data is "
        "feedback, decisions or the sample of predictions, page by page.",
        add_arguments=_add_arguments,
        run=_export,
    ),
)
