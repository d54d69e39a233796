"""The command that writes kept decisions as Vowpal Wabbit or the Open Bandit Pipeline read them."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from clipper_client.cli.command import Command, Options
from clipper_client.cli.output import complain, print_line
from clipper_client.client import Client
from clipper_client.operations.predictions import application_path

Decision = Mapping[str, Any]
# The first, which has no name there either, is the number of the row.
OBP_COLUMNS = ("", "timestamp", "item_id", "position", "click", "propensity_score")


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("app", help="the application")
    parser.add_argument(
        "--format",
        choices=("vw", "obp"),
        required=True,
        help="vw: text for --cb_adf of Vowpal Wabbit; obp: a table as the Open Bandit Dataset's",
    )


def _write(client: Client, options: Options) -> int:
    decisions = _decisions(client, options.app)
    if options.format == "vw":
        for decision in decisions:
            print_line("\n".join([*vw_lines(decision), ""]))
    else:
        _write_table(decisions)
    return 0


def _decisions(client: Client, app: str) -> Iterator[Decision]:
    after: int | None = 0
    has_any = False
    while after is not None:
        page = client.request("GET", f"{application_path(app, 'decisions')}?after={after}")
        yield from page["decisions"]
        has_any = has_any or bool(page["decisions"])
        after = page["next"]
    if not has_any:
        complain(f"nothing to write: of {app}, no query with feedback asked one arm among several")


def vw_lines(decision: Decision) -> list[str]:
    """Return a decision as lines of --cb_adf: what is shared, then each arm; names are quoted."""
    features = " ".join(f"f{k}:{value!r}" for k, value in enumerate(decision["features"]))
    context = f"c={quote(decision['context'], safe='')}" if decision["context"] else ""
    label = f"0:{1.0 - decision['reward']!r}:{decision['propensity']!r} "
    return [
        f"shared |context {context} |features {features}",
        *(
            f"{label if arm == decision['arm'] else ''}|arm {quote(arm, safe='')}"
            for arm in decision["arms"]
        ),
    ]


def _write_table(decisions: Iterator[Decision]) -> None:
    table = csv.writer(sys.stdout, lineterminator="\n")
    for row in obp_rows(decisions):
        table.writerow(row)


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
        item = items.setdefault(decision["arm"], len(items))
        yield [
            *(number, decision["at"], item, 1, decision["reward"], decision["propensity"]),
            *(features if len(features) == width else [""] * width),
            *(decision["arm"], " ".join(decision["arms"]), decision["context"]),
        ]


COMMANDS = (
    Command(
        name="decisions",
        help="write kept decisions for Vowpal Wabbit or the Open Bandit Pipeline",
        more="Each with the chance that its arm had; to standard output, page by page.",
        add_arguments=_add_arguments,
        run=_write,
    ),
)
