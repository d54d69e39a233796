"""`python -m tests.frameworks.table [NAME ...]`: every framework, from a model to its answers.

Each row's model is trained in an environment of its framework and deployed to a stack that has
nothing but what `make run` installs, so that what the stack lacks gets an environment of its own.
Beside it MLflow, LitServe, BentoML and FastAPI serve the same Pipeline over a DataFrame.
`--publish` puts the tables into the documentation.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from tests.frameworks.acceptance import (
    Seen,
    Server,
    check,
    environments_of,
    removed,
    served_by,
    used,
)
from tests.frameworks.environments import REQUIREMENTS, ROOT, built, python_of, too_large
from tests.frameworks.heavy_rows import HEAVY
from tests.frameworks.peers import PEERS, served
from tests.frameworks.rows import LIGHT, Row

PAGE = ROOT / "docs" / "results" / "frameworks.md"
BEGIN, END = "<!-- frameworks -->", "<!-- /frameworks -->"
FAILED = "failed"
# Of a long message.
SHOWN = 160


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.frameworks.table", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="rows, by default all")
    parser.add_argument("--no-peers", action="store_true", help="Clipper alone")
    parser.add_argument("--publish", action="store_true", help=f"into {PAGE.relative_to(ROOT)}")
    said = parser.parse_args(arguments)
    before = os.getloadavg()
    tables = [_of_frameworks(said.names)]
    if not said.no_peers:
        tables.append(_of_peers())
    text = "\n\n".join((_machine(before), *tables))
    print(text)
    if FAILED in text:
        return 1
    if said.publish:
        _publish(text)
    return 0


def _machine(before: tuple[float, float, float]) -> str:
    """Where and when, and how much else was going on: the table's own work is not counted."""
    day = datetime.now(UTC)
    return (
        f"{day.day} {day:%B %Y}, Python {platform.python_version()}, {os.cpu_count()} cores; the "
        f"load average of the five minutes before was {before[1]:.1f}."
    )


# --- Clipper ------------------------------------------------------------------------------------


def _of_frameworks(names: Sequence[str]) -> str:
    rows = [(row, where) for row, where in _rows() if not names or row.name in names]
    with (
        built((ROOT / "requirements.txt").read_text(encoding="utf-8")) as python,
        tempfile.TemporaryDirectory(prefix="clipper-table-") as folder,
        served_by(Path(folder) / "var", python=python) as server,
    ):
        cells = [_cells_of(row, where, server=server) for row, where in rows]
    return _table(
        [
            *("", "lines", "s to the first answer", "s once more"),
            *("environment of its own", "scores", "a bad input is told"),
        ],
        cells,
    )


def _rows() -> Iterator[tuple[Row, str]]:
    """Every row, and the name of its user's environment; "" is ours."""
    yield from ((row, "") for row in LIGHT)
    for name, rows in HEAVY.items():
        if reason := too_large(name):
            print(f"{name}: left out: {reason}", file=sys.stderr)
        else:
            yield from ((row, name) for row in rows)


def _cells_of(row: Row, where: str, *, server: Server) -> list[str]:
    print(f"{row.title} ...", file=sys.stderr, flush=True)
    try:
        with python_of(where) as python:
            seen = used(row, python=python, server=server)
        check(row, seen)
    except AssertionError as error:
        print(error, file=sys.stderr)
        return [row.title, *[FAILED] * 6]
    own = _environment(environments_of(row, server), seen=seen)
    removed(row, server)
    return [
        row.title,
        str(row.lines),
        f"{seen.seconds:.1f}",
        f"{seen.again_seconds:.1f}",
        own,
        row.kind_of_scores or "-",
        _quoted(seen.refused),
    ]


def _environment(built_s: Sequence[float], *, seen: Seen) -> str:
    if not built_s:
        return "not needed"
    # Whoever requires the same finds it there.
    return f"built in {built_s[0]:.0f} s" if built_s[0] < seen.seconds else "that of another row"


# --- The others ---------------------------------------------------------------------------------


def _of_peers() -> str:
    with built((REQUIREMENTS / "peers.txt").read_text(encoding="utf-8")) as python:
        seen = [(peer, served(peer, python=python)) for peer in PEERS]
    return _table(
        [
            *("", "lines", "s to the first answer", "a wrong column is told"),
            "a second version beside the first",
        ],
        [
            [
                peer.name,
                str(peer.lines),
                f"{found.seconds:.1f}",
                _quoted(found.refused),
                peer.second,
            ]
            for peer, found in seen
        ],
    )


# --- Markdown -----------------------------------------------------------------------------------


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _quoted(text: str) -> str:
    """A message on one line of a table."""
    line = " ".join(text.split()).replace("|", "\\|").replace("`", "'")
    return f"`{line if len(line) <= SHOWN else line[:SHOWN] + '…'}`"


def _publish(text: str) -> None:
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    assert end, f"{PAGE} has no place between {BEGIN} and {END}"
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
