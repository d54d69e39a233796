"""Tables of a run in a page of the docs, between two comments that carry a mark."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def markdown(rows: Iterable[Sequence[str]]) -> str:
    """Return a table, whose header comes first."""
    header, *others = rows
    return "".join(f"| {' | '.join(row)} |\n" for row in (header, ("---",) * len(header), *others))


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
