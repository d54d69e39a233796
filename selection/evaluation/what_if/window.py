"""Which feedback a question is about."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

USUAL_ROWS = 20_000
MOST_ROWS = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """The latest `rows` of an application, or of one of its contexts; a time of None is open.

    Those are queries, or else labelled `inputs`: others than people ask, they are never mixed.
    """

    rows: int = USUAL_ROWS
    context: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    inputs: bool = False
