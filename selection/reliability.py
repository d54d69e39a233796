"""Reliability of arms: whether they answer, known at once without any feedback.

Of each arm one number is kept, the share of asks that it missed, which fades with every further ask
of it. Selection is moved by it at once (`redistributed`), under every policy alike.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

# By what each ask makes the ones before fade: the last ten count. An arm that misses 10 % of its
# asks by chance is charged for that 16 % of the time with 0.8, 9 % with 0.9 and 3 % with 0.95; but
# with 0.95 one simulated run of four did not find a mended arm again.
KEEP = 0.9
# An arm that answers this share of asks has nothing held against it here: feedback counts what it
# misses.
FULL = 0.8
# Less than this is forgotten: nothing has been missed for 44 asks and more.
TINY = 0.01

Factors = Mapping[str, float]
EVERYTHING: Factors = MappingProxyType({})


class Asked(NamedTuple):
    """Asks of an arm since the last exchange: their number, and what they add."""

    asks: int
    missed: float

    def then(self, later: Asked) -> Asked:
        return Asked(self.asks + later.asks, faded(self.missed, asks=later.asks) + later.missed)


NOTHING = Asked(0, 0.0)


class Reliability:
    """The knowledge of one web process about the arms of one application.

    `missed` holds shares of asks missed, `factors` how much of its share an arm keeps if that isn't
    all: another object whenever they change.
    """

    def __init__(self) -> None:
        self.missed: dict[str, float] = {}
        self.factors: Factors = EVERYTHING
        self._asked: dict[str, Asked] = {}
        # Those that were answered while nothing was missed, by the arms asked together.
        self._answered: defaultdict[tuple[str, ...], int] = defaultdict(int)

    def all_answered(self, arms: tuple[str, ...]) -> None:
        """Count a query that every arm asked has answered."""
        if self.missed:
            for arm in arms:
                self.note(arm, answered=True)
        else:
            self._answered[arms] += 1

    def note(self, arm: str, *, answered: bool) -> None:
        """Count one ask of an arm."""
        added = 0.0 if answered else 1.0 - KEEP
        self._asked[arm] = self._asked.get(arm, NOTHING).then(Asked(1, added))
        known = self.missed.get(arm)
        if known is not None or not answered:
            self._know(arm, (known or 0.0) * KEEP + added)

    # --- exchange with the other web processes ------------------------------------------------

    def take(self) -> dict[str, Asked]:
        """Return what came since the last call, by arm; it has to be merged or given back."""
        taken, self._asked = self._asked, {}
        counted, self._answered = self._answered, defaultdict(int)
        for arms, asks in counted.items():
            for arm in arms:
                taken[arm] = taken.get(arm, NOTHING).then(Asked(asks, 0.0))
        return taken

    def give_back(self, taken: Mapping[str, Asked]) -> None:
        """Take back asks that could not be exchanged."""
        for arm, asked in taken.items():
            self._asked[arm] = asked.then(self._asked.get(arm, NOTHING))

    def merge(self, together: Mapping[str, float], *, taken: Mapping[str, Asked]) -> None:
        """Take over what all processes know together, which `taken` is part of."""
        for arm in {*self.missed, *together}:
            since = self._asked.get(arm, NOTHING)
            theirs = faded(together.get(arm, 0.0), asks=since.asks) + since.missed
            weight = faded(1.0, asks=taken.get(arm, NOTHING).asks + since.asks)
            own = self.missed.get(arm, 0.0)
            self._know(arm, own + (theirs - own) * weight)

    def _know(self, arm: str, missed: float) -> None:
        if missed >= TINY:
            self.missed[arm] = missed
        else:
            self.missed.pop(arm, None)
        now, before = factor_of(missed), self.factors.get(arm, 1.0)
        # Selection is worked out anew where a factor moved by so much, or reached either end.
        if abs(now - before) >= 0.05 or (now != before and now in (0.0, 1.0)):
            factors = {**self.factors, arm: now}
            self.factors = {name: factor for name, factor in factors.items() if factor < 1.0}


def faded(missed: float, *, asks: int) -> float:
    return missed * KEEP**asks


def factor_of(missed: float) -> float:
    """Return which part of its share an arm keeps that misses this share of its asks."""
    # One that answers less than this is down: it is asked by probes alone.
    down = 0.3
    answered = (1.0 - missed - down) / (FULL - down)
    return min(1.0, max(0.0, answered)) ** 2


def factors_of(missed: Mapping[str, float]) -> Factors:
    """Return the factors of arms that don't keep all of their shares."""
    return {arm: factor for arm, m in missed.items() if (factor := factor_of(m)) < 1.0}


def relative(shares: Mapping[str, float], *, factors: Factors) -> dict[str, float]:
    """Return the factors of arms beside the best there is: where all miss as much, none pays."""
    own = {arm: factors.get(arm, 1.0) for arm in shares}
    best = max((own[arm] for arm, share in shares.items() if share > 0.0), default=0.0)
    if best <= 0.0:
        return {}
    beside = {arm: min(1.0, factor / best) for arm, factor in own.items()}
    return {arm: factor if factor >= 0.05 else 0.0 for arm, factor in beside.items()}


def redistributed(
    shares: Mapping[str, float], *, factors: Factors, spread: float = 1.0
) -> dict[str, float]:
    """Return shares that sum to 1, of which unreliable arms have given theirs to the others."""
    beside = relative(shares, factors=factors)
    if not beside or min(beside.values()) >= 1.0:
        return dict(shares)
    even = spread / len(shares)
    kept = {arm: share * beside[arm] for arm, share in shares.items()}
    pull = {arm: (share + even) * beside[arm] for arm, share in shares.items() if share > 0.0}
    given_up = (1.0 - math.fsum(kept.values())) / math.fsum(pull.values())
    moved = {arm: kept[arm] + given_up * pull.get(arm, 0.0) for arm in shares}
    # The chance of an arm that is down to be asked all the same, at most what the policy gives it.
    least = {arm: min(share, 0.01) for arm, share in shares.items()}
    probes = {arm: least[arm] for arm, share in moved.items() if share < least[arm]}
    left = 1.0 - math.fsum(probes.values())
    rest = math.fsum(share for arm, share in moved.items() if arm not in probes)
    return {arm: probes.get(arm, share * left / rest) for arm, share in moved.items()}
