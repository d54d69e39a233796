"""How long snapshots are kept, and how far apart: closely while fresh, ever more sparsely."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from typing import TypeVar

T = TypeVar("T")

# Snapshots are taken so far apart.
STEP_S = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Snapshots older than `after` are merged into one for each `step_s`."""

    step_s: int
    after: timedelta


RULES = (
    Rule(step_s=60, after=timedelta(hours=1)),
    Rule(step_s=600, after=timedelta(days=1)),
    Rule(step_s=3600, after=timedelta(days=7)),
)
KEPT = timedelta(days=30)
# The most that one application has: an hour, a day, a week and thirty days of them.
MOST = 3600 // STEP_S + 86_400 // 60 + 7 * 86_400 // 600 + 30 * 86_400 // 3600


def bucket(at: datetime, *, step_s: int) -> int:
    """Return the number of the stretch of `step_s` that a time lies in; its end belongs to it."""
    return -int(-at.timestamp() // step_s)


def settled_before(now: datetime, *, rule: Rule) -> datetime:
    """Return the time up to which stretches have ended for good and may be merged."""
    whole = int((now - rule.after).timestamp()) // rule.step_s * rule.step_s
    return datetime.fromtimestamp(whole, tz=now.tzinfo)


def grouped(items: Iterable[T], *, at: Callable[[T], datetime], step_s: int) -> list[list[T]]:
    """Return items in order of time as groups of one stretch each."""
    return [
        list(group) for _, group in groupby(items, lambda item: bucket(at(item), step_s=step_s))
    ]
