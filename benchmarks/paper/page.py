"""The table of all figures in the page of the docs, of which a run may renew some."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.figures.claims import Claim
from benchmarks.pages import found_at, markdown, replaced

MARK = "measured"
HEADER = ("figure", "what", "wanted", "seen", "the paper", "")


def with_table(page: str, *, claims: Iterable[Claim], order: Sequence[str] = ()) -> str:
    """Return the page with these claims in its table; other figures' rows stay as they are.

    Rows are in the `order` of the figures' names; those that it lacks come after them.
    """
    rows = _by_figure(found_at(page, mark=MARK))
    fresh: dict[str, list[Sequence[str]]] = {}
    for c in claims:
        row = (c.figure, c.what, c.wanted, c.found, c.paper, c.verdict)
        fresh.setdefault(c.figure, []).append(row)
    rows |= fresh
    places = {name: place for place, name in enumerate(order)}
    names = sorted(rows, key=lambda name: places.get(name, len(places)))
    table = markdown([HEADER, *(row for name in names for row in rows[name])])
    return replaced(page, mark=MARK, text=table)


def _by_figure(table: str) -> dict[str, list[Sequence[str]]]:
    """Return the rows of a table that stands in the page, without its head."""
    rows: dict[str, list[Sequence[str]]] = {}
    for line in table.splitlines()[2:]:
        cells = [cell.strip() for cell in line.split("|")[1:-1]]
        rows.setdefault(cells[0], []).append(cells)
    return rows
