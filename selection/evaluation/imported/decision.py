"""A decision that another system logged, as far as a what-if can use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NoReturn

from core.errors import BadRequest
from selection.contexts import MAX_CHARACTERS
from selection.policies.features import LARGEST_FEATURE, LONGEST_NAME

LONGEST_SHOWN = 60
MOST_ARMS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignDecision:
    """Which of the `arms` was asked at a line of a log, by what chance, and what it earned.

    `earned` is a reward, or else a cost, as the format has it; where an arm is told by its number
    alone, arms that were never asked may be missing from `arms`.
    """

    line: int
    arms: tuple[str, ...]
    arm: str
    propensity: float
    earned: float
    context: str = ""
    features: Mapping[str, float] = field(default_factory=dict)
    at: datetime | None = None


def refuse(line: int, *, expected: str, got: object) -> NoReturn:
    """Raise BadRequest for what stands at a line, from 1."""
    shown = repr(got)
    shown = shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"
    raise BadRequest(f"log: line {line}: expected {expected}, got {shown}", line=line)


def number(text: object, *, line: int, what: str, low: float, high: float) -> float:
    """Return a number within bounds."""
    try:
        if not isinstance(text, str | int | float) or isinstance(text, bool):
            raise ValueError
        value = float(text)
    except (ValueError, OverflowError):
        refuse(line, expected=what, got=text)
    if not low <= value <= high:
        refuse(line, expected=f"{what} from {low:g} to {high:g}", got=text)
    return value


def chance(text: object, *, line: int) -> float:
    """Return the probability by which an arm was asked."""
    value = number(text, line=line, what="a probability", low=0.0, high=1.0)
    if value == 0.0:
        refuse(line, expected="a probability above 0 of what was chosen", got=text)
    return value


def cost(text: object, *, line: int) -> float:
    """Return what a choice cost, or, below 0, earned."""
    return number(text, line=line, what="a cost", low=-1.0, high=1.0)


def feature(text: object, *, line: int) -> float:
    what = "a feature's value"
    return number(text, line=line, what=what, low=-LARGEST_FEATURE, high=LARGEST_FEATURE)


def name(text: str, *, line: int, what: str) -> str:
    """Return the name of an arm, a context or a feature."""
    longest = LONGEST_NAME if what == "a feature" else MAX_CHARACTERS
    if len(text) > longest or "\0" in text:
        refuse(line, expected=f"{what} of at most {longest} characters, none NUL", got=text)
    return text
