"""What a curve leaves on the page of the docs: its tables, between marks of its own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.growth.curve import Rows
from benchmarks.paper.claims import Claim


def with_section(page: str, *, name: str, points: Rows, claims: Iterable[Claim]) -> str:
    """Return the page with these tables between the curve's marks; all else stays as it is."""
    begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, found, rest = page.partition(begin)
    _, closed, after = rest.partition(end)
    if not (found and closed):
        raise ValueError(f"the page has no place between {begin.strip()} and {end.strip()}")
    text = "\n".join((_table(points), _table(_verdicts(claims))))
    return f"{before}{begin}{text}{end}{after}"


def _verdicts(claims: Iterable[Claim]) -> Rows:
    rows = [(c.what, c.wanted, c.found, c.verdict) for c in claims]
    return [("must hold", "wanted", "seen", ""), *rows]


def _table(rows: Rows) -> str:
    header, *others = rows
    return "".join(map(_line, (header, ("---",) * len(header), *others)))


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"
