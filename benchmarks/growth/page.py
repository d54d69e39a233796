"""What a curve leaves on the page of the docs: its tables, between marks of its own."""

from __future__ import annotations

from collections.abc import Iterable

from benchmarks.figures.claims import Claim
from benchmarks.growth.curve import Rows
from benchmarks.pages import markdown, replaced


def with_section(page: str, *, name: str, points: Rows, claims: Iterable[Claim]) -> str:
    """Return the page with these tables between the curve's marks; all else stays as it is."""
    verdicts = [
        ("must hold", "wanted", "seen", ""),
        *((c.what, c.wanted, c.found, c.verdict) for c in claims),
    ]
    return replaced(page, mark=name, text=f"{markdown(points)}\n{markdown(verdicts)}")
