"""Exp4: ask every arm, combine their answers, and learn from the error of each (§5.2)."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from selection.policies.arithmetic.sums import Statistics
from selection.policies.policy import Fading, Prepared, ask_all, parameter, shares


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp4(Fading):
    """An ensemble. Arms weigh their log-odds of being right, or what Hedge gives them.

    Log-odds are the best vote of independent arms (Nitzan and Paroush 1982), Hedge comes to trust
    the best arm alone (Freund and Schapire 1997): labels show which is right more often
    (`AnswerRecord`).
    """

    name: ClassVar[str] = "exp4"
    summary: ClassVar[str] = "asks all arms, combines answers by weights learned from feedback"
    eta: float = parameter(0.3, 1e-4, 10.0, "how fast recent feedback moves the weights of Hedge")

    @property
    def is_decided_by_counts(self) -> bool:
        return True

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        most = max(vector[0] for vector in statistics.values())
        # Its losses so far, had each arm been seen as often.
        lost = {
            arm: (-self.eta * most * (seen - rewarded + 1.0) / (seen + 2.0),)
            for arm, (seen, rewarded, _) in statistics.items()
        }
        odds = {
            arm: math.log((rewarded + 1.0) / (seen - rewarded + 1.0))
            for arm, (seen, rewarded, _) in statistics.items()
        }
        return ask_all(weights=shares(lost), odds=odds if most > 0.0 else {})
