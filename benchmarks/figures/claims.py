"""What must hold of a figure: a bound on a number, what was seen, and the verdict."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from benchmarks.report import table

HOLDS, MISSED = "holds", "MISSED"


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """`seen` must reach `at_least` and not exceed `at_most`, whichever is given.

    `paper` is the paper's own number of the same thing, as text, where one is known for certain.
    """

    figure: str
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


def number(value: float) -> str:
    """Three digits that matter, and no more: 241, 3.35, 0.083, 48,900."""
    if value != value:
        return "nothing"
    if abs(value) >= 1000:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:.3g}"


def verdicts(claims: Iterable[Claim]) -> str:
    """The table at the end of a run, and one line that counts."""
    claims = list(claims)
    header = ("figure", "what", "wanted", "seen", "the paper", "")
    rows = [(c.figure, c.what, c.wanted, c.found, c.paper, c.verdict) for c in claims]
    return f"{table([header, *rows], left=2)}\n\n{count(claims)}"


def count(claims: Sequence[Claim]) -> str:
    missed = [claim for claim in claims if not claim.holds]
    if not missed:
        return f"All {len(claims)} targets hold."
    return (
        f"{len(missed)} of {len(claims)} targets MISSED: "
        f"{'; '.join(f'{claim.figure}, {claim.what}' for claim in missed)}."
    )
