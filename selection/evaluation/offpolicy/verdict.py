"""How an estimate is judged."""

from __future__ import annotations

from enum import StrEnum


class Verdict(StrEnum):
    """Whether the log tells enough of a target.

    `APART`: what it would have asked was in service during a part of the log alone.
    """

    ENOUGH = "enough"
    LITTLE = "little"
    APART = "apart"
    NONE = "none"
