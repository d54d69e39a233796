"""Sample-ratio mismatch: labels come more often of an arm than its chance to be asked says.

A label of an arm asked with chance p counts 1/p, on average one a label. A gambler who stakes a
share on an arm having more gains nothing in the long run (a test martingale: Shafer, Shen,
Vereshchagin and Vovk 2011), and comes to 1 / alpha times their money with a chance of at most
alpha, however often one looks (Ville 1939): a sequential test of multinomial counts (as Lindon and
Malek 2022) by the chance of the arm asked alone, which is all that is logged. Queries are judged in
the order in which they were asked, once each of them has had its whole feedback window.
"""

import math
from collections.abc import Sequence

import msgspec

from selection.evaluation.health.finding import ALARM, GOOD, UNKNOWN, Finding
from selection.inference import log_mean_exp

# Shares that are staked: small ones find small excesses of rare arms, large ones the rest sooner.
STAKES = (0.005, 0.02, 0.05, 0.1, 0.2, 0.4)
# Parts of a feedback window whose queries are judged together.
PARTS = 8


class Tally(msgspec.Struct):
    """Sums over labels; `gained` is the logarithm of each stake's wins by arm."""

    labels: int = 0
    counts: dict[str, int] = {}
    inverse: dict[str, float] = {}
    gained: dict[str, list[float]] = {}

    def note(self, arm: str, *, propensity: float) -> None:
        excess = 1.0 / propensity - 1.0
        gained = [math.log1p(stake * excess) - math.log1p(-stake) for stake in STAKES]
        self.add(Tally(1, {arm: 1}, {arm: 1.0 / propensity}, {arm: gained}))

    def add(self, other: "Tally") -> None:
        self.labels += other.labels
        for arm, gained in other.gained.items():
            known = self.gained.get(arm, [0.0] * len(STAKES))
            self.gained[arm] = [a + b for a, b in zip(known, gained, strict=True)]
            self.counts[arm] = self.counts.get(arm, 0) + other.counts[arm]
            self.inverse[arm] = self.inverse.get(arm, 0.0) + other.inverse[arm]


class Mismatch(Tally):
    """Sums over the labels of queries whose feedback window is over.

    Labels of one arm may come later than those of another: those of younger queries are `waiting`,
    by the eighth of a window in which the query came. A mismatch found is looked for anew, and over
    after as many labels as found it have shown none.
    """

    found: str = ""
    found_after: int = 0
    waiting: dict[str, Tally] = {}

    def wait(self, arm: str, *, propensity: float, issued_at: float, window_s: float) -> None:
        """Take a label of an arm that was asked by a chance below 1, for when its time is over."""
        part = str(math.floor(issued_at * PARTS / window_s))
        self.waiting.setdefault(part, Tally()).note(arm, propensity=propensity)

    def look(self, *, now: float, window_s: float) -> None:
        """Count the labels of queries whose window is over."""
        over = now * PARTS / window_s - PARTS - 1.0
        for part in [part for part in self.waiting if int(part) <= over]:
            self.add(self.waiting.pop(part))

    def finding(self, arms: Sequence[str]) -> Finding:
        """Judge what came so far. `arms` are all of the experiment, labelled or not."""
        waiting = sum(tally.labels for tally in self.waiting.values())
        capitals = [self._log_capital(arm, i) for arm in arms for i in _STAKES]
        # A sound experiment, however long it runs, is ever called mismatched with a chance of 1 %.
        if capitals and log_mean_exp(capitals) >= -math.log(0.01):
            self._start_anew(words=self._words(arms), after=self.labels)
        elif self.found and self.labels >= self.found_after:
            self._start_anew(words="", after=0)
        if self.found:
            return Finding(ALARM, self._excess(arms), self.found)
        # Fewer labels than this are said to be too few, whatever they look like.
        if self.labels < 30:
            return Finding(
                UNKNOWN,
                None,
                f"{self.labels:,} labels of versions drawn by chance, on queries whose feedback "
                f"window is over, are too few to tell; {waiting:,} labels wait for that",
            )
        return Finding(
            GOOD,
            self._excess(arms),
            f"{self.labels:,} labels are spread over the versions as their chances say",
        )

    def _start_anew(self, *, words: str, after: int) -> None:
        self.found, self.found_after = words, after
        self.labels = 0
        self.counts, self.inverse, self.gained = {}, {}, {}

    def _log_capital(self, arm: str, stake: int) -> float:
        gained = self.gained.get(arm)
        won = 0.0 if gained is None else gained[stake]
        return won + self.labels * math.log1p(-STAKES[stake])

    def _words(self, arms: Sequence[str]) -> str:
        arm = self._suspect(arms)
        count = self.counts.get(arm, 0)
        expected = count / self._ratio(arm) if count else 0.0
        return (
            f"{arm} has {count:,} of {self.labels:,} labels, where its chances come to about "
            f"{expected:,.0f}: whether a label comes depends on who was asked"
        )

    def _suspect(self, arms: Sequence[str]) -> str:
        """Return the arm that most speaks for having too many labels."""
        return max(arms, key=lambda arm: max(self._log_capital(arm, i) for i in _STAKES))

    def _ratio(self, arm: str) -> float:
        return self.inverse.get(arm, 0.0) / self.labels

    def _excess(self, arms: Sequence[str]) -> float | None:
        """Return the suspect's labels as a multiple of those that its chances say."""
        return self._ratio(self._suspect(arms)) if arms and self.labels else None


_STAKES = range(len(STAKES))
