"""Failures of a canary beside those of the live version, by the chance of each to be asked.

Given that an answer failed, the canary had given it with its logged chance p if it is no worse. A
gambler bets that its odds are k times as high (a test martingale: Ville 1939), with a tenth of the
money on each k (Lindon and Malek, "Anytime-valid inference for multinomial count data", NeurIPS
2022). It needs failures alone, and holds whatever the level does and however p changes.
"""

import math
from collections.abc import Sequence

import msgspec

from selection.inference import log_mean_exp

ODDS = (1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0, 1000.0)
# Odds of the canary's labels to come more often, or less often.
BOTH_WAYS = (*ODDS, *(1.0 / k for k in ODDS))


class AmongFailures(msgspec.Struct):
    """The logarithm of what each bet has won."""

    won: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(ODDS))

    def note(self, *, canary: bool, chance: float, count: float = 1.0) -> None:
        """Count failures of the canary or of the live version; each had this chance of it."""
        self.won = bet(self.won, ODDS, canary=canary, chance=chance, count=count)

    @property
    def log_evidence(self) -> float:
        return log_mean_exp(self.won)


class LabelRatio(msgspec.Struct):
    """Labels of both versions: do they come as the chances say, neither more nor less often?"""

    won: list[float] = msgspec.field(default_factory=lambda: [0.0] * len(BOTH_WAYS))

    def note(self, *, canary: bool, chance: float, count: float = 1.0) -> None:
        self.won = bet(self.won, BOTH_WAYS, canary=canary, chance=chance, count=count)

    @property
    def log_evidence(self) -> float:
        return log_mean_exp(self.won)


def bet(
    won: Sequence[float], odds: Sequence[float], *, canary: bool, chance: float, count: float
) -> list[float]:
    """Return the logarithms of winnings after this many more of one version."""
    return [
        so_far + count * ((math.log(k) if canary else 0.0) - math.log(chance * k + 1.0 - chance))
        for so_far, k in zip(won, odds, strict=True)
    ]
