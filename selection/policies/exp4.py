"""Exp4: ask every arm, combine their answers, and learn from the error of each (§5.2)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from selection.policies.base import (
    FADING,
    LOWEST_PROPENSITY,
    Exponential,
    Parameter,
    Prepared,
    Selection,
    ask_all,
    shares,
)
from selection.policies.statistics import Statistics, Vector


@dataclass(frozen=True, slots=True, kw_only=True)
class Exp4(Exponential):
    """An ensemble whose weights follow Hedge: log-weight += -eta * loss for each that answered.

    Every arm's loss is seen, so nothing needs importance weighting: dividing by the weight, as
    the single-arm rule does, makes weak arms collapse faster the weaker they are. With
    `importance` that is done all the same, as by Clipper's own code: -eta * loss / share of trust.
    """

    name: ClassVar[str] = "exp4"
    summary: ClassVar[str] = "asks all arms, combines answers by weights learned from feedback"
    parameters: ClassVar[tuple[Parameter, ...]] = (
        Parameter("eta", 0.3, 1e-4, 10.0, "how fast recent feedback moves the weights"),
        Parameter(
            "importance", 0, 0, 1, "with 1, a loss counts more for arms of little trust", whole=True
        ),
        *FADING,
    )

    eta: float = 0.3
    importance: int = 0

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        weights = shares(statistics)
        prepared = ask_all(weights=weights)
        if not self.importance:
            return prepared
        everyone = Selection(tuple(weights), tuple(weights.values()))
        return replace(prepared, selections=(everyone,))

    def observe(
        self,
        *,
        losses: Mapping[str, float],
        propensities: Mapping[str, float],
        features: Sequence[float] = (),
    ) -> dict[str, Vector]:
        if not self.importance:
            return {arm: (-self.eta * loss,) for arm, loss in losses.items()}
        return {
            arm: (-self.eta * loss / max(propensities[arm], LOWEST_PROPENSITY),)
            for arm, loss in losses.items()
        }
