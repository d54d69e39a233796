"""What must hold of an experiment: a bound on a number, what was seen, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from benchmarks.tables import Rows, table

HOLDS, MISSED = "holds", "MISSED"
# The columns of a table of verdicts, and the attribute that is in each.
SEEN = {"what": "what", "wanted": "wanted", "seen": "found"}
VERDICT = {**SEEN, "": "verdict"}
ALL = {"figure": "figure", **VERDICT}
WITH_PAPER = {"figure": "figure", **SEEN, "the paper": "paper", "": "verdict"}


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """`seen` must reach `at_least` and not exceed `at_most`, whichever is given.

    `figure` is the experiment's name unless it says otherwise. `paper` is the paper's own number of
    the same thing, as text, where one is known for certain.
    """

    figure: str = ""
    what: str
    seen: float
    at_least: float | None = None
    at_most: float | None = None
    unit: str = ""
    paper: str = ""

    @property
    def holds(self) -> bool:
        """Never with a NaN: what wasn't seen doesn't hold."""
        reached = self.at_least is None or self.seen >= self.at_least
        kept = self.at_most is None or self.seen <= self.at_most
        return reached and kept and self.seen == self.seen

    @property
    def wanted(self) -> str:
        least = "" if self.at_least is None else f"≥ {number(self.at_least)}{self.unit}"
        most = "" if self.at_most is None else f"≤ {number(self.at_most)}{self.unit}"
        return " and ".join(filter(None, (least, most)))

    @property
    def found(self) -> str:
        return f"{number(self.seen)}{self.unit}"

    @property
    def verdict(self) -> str:
        return HOLDS if self.holds else MISSED


def at_least(what: str, seen: float, bound: float, *, unit: str = "", paper: str = "") -> Target:
    return Target(what=what, seen=seen, at_least=bound, unit=unit, paper=paper)


def at_most(what: str, seen: float, bound: float, *, unit: str = "", paper: str = "") -> Target:
    return Target(what=what, seen=seen, at_most=bound, unit=unit, paper=paper)


def exactly(what: str, seen: float, bound: float) -> Target:
    return Target(what=what, seen=seen, at_least=bound, at_most=bound)


def number(value: float) -> str:
    """Three digits that matter, and no more: 241, 3.35, 0.083, 48,900."""
    if value != value:
        return "nothing"
    return f"{float(f'{value:.3g}'):,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def rows(targets: Sequence[Target], *, columns: Mapping[str, str] = ALL) -> Rows:
    """A header, and a row for each target."""
    return [
        tuple(columns),
        *(tuple(getattr(one, field) for field in columns.values()) for one in targets),
    ]


def verdicts(targets: Sequence[Target]) -> str:
    """The table at the end of a run, and one line that counts."""
    missed = [f"{target.figure}, {target.what}" for target in targets if not target.holds]
    line = f"{len(missed)} of {len(targets)} targets MISSED: {'; '.join(missed)}."
    columns = WITH_PAPER if any(target.paper for target in targets) else ALL
    return (
        f"{table(rows(targets, columns=columns), left=2)}\n\n"
        f"{line if missed else f'All {len(targets)} targets hold.'}"
    )
