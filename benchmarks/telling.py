"""Reports of results: targets that must hold, and tables, for the terminal and for a page."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.frames import Frame

# A header and what is below it.
Rows = list[Sequence[str]]
# What is in a column: a field of a frame, and how its values are shown.
Columns = Mapping[str, tuple[str, str | Callable[[float], str]]]
DASH = "-"
BOUND = re.compile(r"([≥≤=]) ([\d.,]+)(.*)")


def number(value: float) -> str:
    """Three digits that matter, and no more: 241, 3.35, 0.083, 48,900."""
    if value != value:
        return "nothing"
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def rows_of(frame: Frame, columns: Columns) -> Rows:
    """A header and a row of text for each of the frame's, with a dash for what isn't known."""
    rows: Rows = [tuple(columns)]
    for record in frame.to_dict("records"):
        cells = []
        for field, shown in columns.values():
            value = record.get(field)
            if value is None or value != value:
                cells.append(DASH)
            else:
                cells.append(shown(value) if callable(shown) else shown.format(value))
        rows.append(cells)
    return rows


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


def replaced(page: str, *, mark: str, text: str) -> str:
    """Return the page with this text at the mark; ValueError where the page has no such mark."""
    before, begin, rest = page.partition(f"<!-- {mark} -->\n")
    _, end, after = rest.partition(f"<!-- /{mark} -->\n")
    if not (begin and end):
        raise ValueError(f"the page has no place for {mark}")
    return f"{before}{begin}{text}{end}{after}"


@dataclass(frozen=True, slots=True)
class Target:
    """A bound on a result, `wanted` as it is read: "≤ 22 ms", "≥ 3,000/s", "= 1".

    `paper` is the paper's own number of the same thing, as text, where one is known for certain.
    """

    what: str
    seen: float
    wanted: str
    paper: str = ""

    @property
    def holds(self) -> bool:
        """Never with a NaN: what wasn't seen doesn't hold."""
        sign, text, _ = self._bound
        bound = float(text.replace(",", ""))
        return bool(
            {"≥": self.seen >= bound, "≤": self.seen <= bound, "=": self.seen == bound}[sign]
        )

    @property
    def found(self) -> str:
        """Return the value seen, in the unit of `wanted`."""
        return f"{number(self.seen)}{self._bound[2]}"

    @property
    def _bound(self) -> tuple[str, str, str]:
        match = BOUND.fullmatch(self.wanted)
        if match is None:
            raise ValueError(f"expected a bound such as '≤ 22 ms', got {self.wanted!r}")
        return match[1], match[2], match[3]


def target_rows(targets: Sequence[Target]) -> Rows:
    """A header, and a row for each target; with the paper's numbers where there are any."""
    paper = any(target.paper for target in targets)
    found: Rows = [("must hold", "wanted", "seen", *(["the paper"] if paper else []), "")]
    for one in targets:
        verdict = "holds" if one.holds else "MISSED"
        found.append((one.what, one.wanted, one.found, *([one.paper] if paper else []), verdict))
    return found


def verdict(judged: Mapping[str, Sequence[Target]]) -> str:
    """Return how many targets hold, and each that was missed with what was seen."""
    every = [target for targets in judged.values() for target in targets]
    missed = [f"{one.what}: {one.found} ({one.wanted})" for one in every if not one.holds]
    line = f"{len(every) - len(missed)} of {len(every)} targets hold."
    return f"{line} MISSED: {'; '.join(missed)}." if missed else line


def verdicts(judged: Mapping[str, Sequence[Target]]) -> str:
    """Return the tables at the end of a run, one for each experiment, and the verdict."""
    parts = [f"{name}\n{table(target_rows(targets))}" for name, targets in judged.items()]
    return "\n\n".join([*parts, verdict(judged)])
