"""Sums since a fixed beginning: what may be concluded of an application at any time.

A period that somebody chooses to look at proves nothing, as one in which an arm was lucky can
always be found. So conclusions are drawn from all that happened since snapshots of an application
began, or since it was last reset. Each snapshot carries these sums on, whatever becomes of older
ones.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from selection.evaluation.monitoring.aggregates import ArmSums, RewardSums, added, added_earned


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """From `since` (ISO 8601) on: what was earned, and the sums of each arm since it joined.

    `recommendation` is what the state of the global context came to, as `describe` says it.
    """

    since: str
    earned: RewardSums = field(default_factory=RewardSums)
    arms: Mapping[str, ArmSums] = field(default_factory=dict)
    recommendation: Mapping[str, Any] | None = None

    def followed_by(
        self,
        earned: RewardSums,
        arms: Mapping[str, Sequence[float]],
        *,
        routed: Container[str],
        recommendation: Mapping[str, Any] | None,
    ) -> Standing:
        """Return it a stretch later; arms that neither are routed nor got feedback are dropped."""
        known = {arm: sums for arm, sums in self.arms.items() if arm in routed or arm in arms}
        return Standing(
            since=self.since,
            earned=added_earned((self.earned, earned)),
            arms=added((known, arms)),
            recommendation=recommendation,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "earned": self.earned,
            "arms": dict(self.arms),
            "recommendation": self.recommendation,
        }


def standing_of(kept: Mapping[str, Any]) -> Standing | None:
    """Read what `as_json` wrote; None of a snapshot from before there was any."""
    if not kept:
        return None
    return Standing(
        since=kept["since"],
        earned=RewardSums(*kept["earned"]),
        arms={arm: ArmSums(*sums) for arm, sums in kept["arms"].items()},
        recommendation=kept.get("recommendation"),
    )
