"""Rows of text: as columns for the terminal, and as tables between two marks of a page."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

# A header and what is below it.
Rows = list[Sequence[str]]
DASH = "-"


def table(rows: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """Columns as wide as they need to be, the first `left` to the left, the others to the right."""
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index < left else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Return a table, whose header comes first."""
    header, *others = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ("---",) * len(header), *others))


def read(text: str) -> Rows:
    """Return the rows of a table that stands in a page, without its header."""
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()[2:]
        if line.startswith("|")
    ]


def found_at(page: str, *, mark: str) -> str:
    """Return the text at the mark."""
    return _around(page, mark=mark)[1]


def replaced(page: str, *, mark: str, text: str) -> str:
    """Return the page with this text at the mark; ValueError where the page has no such mark."""
    before, _, after = _around(page, mark=mark)
    return f"{before}{text}{after}"


def _around(page: str, *, mark: str) -> tuple[str, str, str]:
    """Return what is before the text at the mark, that text, and what is after it."""
    before, begin, rest = page.partition(f"<!-- {mark} -->\n")
    text, end, after = rest.partition(f"<!-- /{mark} -->\n")
    if not (begin and end):
        raise ValueError(f"the page has no place for {mark}")
    return before + begin, text, end + after
