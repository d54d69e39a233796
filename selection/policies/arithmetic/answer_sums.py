"""Sums over combined answers: how sure each was, and whether it was right.

They are kept for two ways to weigh arms, by log-odds and by Hedge, whichever answers queries, and
say which of them has been right more often, how often an answer of some confidence is right, and
from which confidence on a promise holds.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from selection.inference import Rewards, evidence_above
from selection.policies.arithmetic.sums import StatisticKind, Vector

# Margins in log-odds, between which the chance to be right is interpolated; closer where it changes
# most. With half as many, the calibration error after 1,000 labels of fifteen data sets was up to
# 0.063; with these, 0.026.
KNOTS = (
    *(-3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 5.0, 6.0, 7.0, 8.0),
    *(10.0, 12.0, 15.0, 18.0, 22.0, 27.0, 33.0),
)
BY_ODDS, BY_HEDGE = range(2)
_TABLE = 2 * len(KNOTS)
_TABLES = 2 * _TABLE
# Values that labels and outputs had, by their hash.
SLOTS = 32
# In everybody's state alone: of each way and knot the labels and their rewards, of which the last
# 5,000 count, then which slots were hit. Of a label it is all added to one arm's numbers. A new
# version has none: what is promised of its answers is to be proved by them.
ANSWERS = StatisticKind(
    "ans",
    _TABLES + SLOTS,
    keeps=(0.9998,) * _TABLES + (1.0,) * SLOTS,
    by_arm=_TABLES + SLOTS,
    everybody=True,
)


class Promise(NamedTuple):
    """At most this share of answers is wrong, with this probability."""

    max_wrong: float
    probability: float

    def __str__(self) -> str:
        return f"at most {self.max_wrong:g} of answers wrong, with probability {self.probability:g}"


class AnswerSeen(NamedTuple):
    """A labelled answer: its margin and reward by each way, and the slots of values seen."""

    margins: Sequence[float]
    rewards: Sequence[float]
    slots: Sequence[int]


def answer_sums(seen: AnswerSeen, *, observed: Sequence[str], at_ms: int) -> dict[str, Vector]:
    """Return what a labelled answer adds to `ANSWERS`."""
    vector = [0.0] * ANSWERS.width
    for way, (margin, reward) in enumerate(zip(seen.margins, seen.rewards, strict=True)):
        for knot, share in _knots_at(margin):
            place = way * _TABLE + 2 * knot
            vector[place], vector[place + 1] = share, share * reward
    for slot in seen.slots:
        vector[_TABLES + slot] = 1.0
    # Arms take turns, so that an arm that leaves takes its part alone with it.
    return {observed[at_ms % len(observed)]: tuple(vector)}


def _knots_at(margin: float) -> tuple[tuple[int, float], ...]:
    """Return the knots beside a margin, with the share that each has of it."""
    above = bisect_right(KNOTS, margin)
    if above in (0, len(KNOTS)):
        return ((min(above, len(KNOTS) - 1), 1.0),)
    low, high = KNOTS[above - 1 : above + 1]
    share = (margin - low) / (high - low)
    return (above - 1, 1.0 - share), (above, share)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRecord:
    """The record of labelled answers, by the way to weigh arms that was right more often.

    `right` is the chance to be right by knot, `classes` the number of values seen. With a `promise`
    answers from the knot `lowest` on are given; `len(KNOTS)`: none.
    """

    way: int
    right: tuple[float, ...]
    classes: int
    promise: Promise | None = None
    lowest: int = 0

    @classmethod
    def of(cls, vectors: Iterable[Vector], *, promise: Promise | None = None) -> AnswerRecord:
        """Read the record from the sums of all arms."""
        sums = [math.fsum(column) for column in zip(*vectors, strict=True)]
        pairs = [Rewards(*sums[at : at + 2]) for at in range(0, _TABLES, 2)]
        tables = pairs[: len(KNOTS)], pairs[len(KNOTS) :]
        earned = [math.fsum(one.total for one in table) for table in tables]
        way = BY_HEDGE if earned[BY_HEDGE] > earned[BY_ODDS] else BY_ODDS
        hit = sum(1 for count in sums[_TABLES:] if count > 0.0)
        # Linear counting (Whang, Vander-Zanden and Taylor 1990), as some values share a slot.
        classes = round(SLOTS * math.log(SLOTS / max(SLOTS - hit, 0.5)))
        right = _calibrated(tables[way])
        return cls(
            way=way,
            right=right,
            classes=max(classes, 2),
            promise=promise,
            lowest=0 if promise is None else _lowest(tables[way], right, promise=promise),
        )

    def confidence(self, margin: float) -> float:
        """Return the chance that an answer is right."""
        return sum([share * self.right[knot] for knot, share in _knots_at(margin)])

    @property
    def lowest_margin(self) -> float:
        if self.promise is None:
            return -math.inf
        return KNOTS[self.lowest] if self.lowest < len(KNOTS) else math.inf

    @property
    def threshold(self) -> float:
        """The least confidence of an answer that is given."""
        return self.right[self.lowest] if self.lowest < len(KNOTS) else 1.0


def _calibrated(table: Sequence[Rewards]) -> tuple[float, ...]:
    """Return the chance to be right by knot, which never falls (isotonic: Barlow et al. 1972).

    What the log-odds say themselves counts as one label.
    """
    pools: list[list[float]] = []
    for seen, knot in zip(table, KNOTS, strict=True):
        pools.append([seen.number + 1.0, seen.total + 1.0 / (1.0 + math.exp(-knot)), 1.0])
        while len(pools) > 1 and pools[-2][1] * pools[-1][0] > pools[-1][1] * pools[-2][0]:
            last = pools.pop()
            pools[-1] = [x + y for x, y in zip(pools[-1], last, strict=True)]
    return tuple(right / number for number, right, width in pools for _ in range(int(width)))


def _lowest(table: Sequence[Rewards], right: Sequence[float], *, promise: Promise) -> int:
    """Return the lowest knot from which on answers are proved to keep the promise.

    The evidence is so strong that with the chance `probability` no knot of either table that breaks
    the promise ever passes (Ville's inequality, and a union bound over them).
    """
    wanted = math.log(2 * len(KNOTS) / (1.0 - promise.probability))
    number = total = 0.0
    found = len(KNOTS)
    for knot in reversed(range(len(KNOTS))):
        number, total = number + table[knot].number, total + table[knot].total
        # Answers of one confidence are given together or not at all.
        alike = knot > 0 and right[knot - 1] == right[knot]
        if not alike and evidence_above(Rewards(number, total), 1.0 - promise.max_wrong) >= wanted:
            found = knot
    return found
