"""Randomised upper confidence bounds over memories that grow and shrink with what changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from selection.policies.arithmetic.sums import (
    LEVELS,
    MEMORIES,
    REWARDS,
    StatisticKind,
    Statistics,
    Vector,
    memories,
)
from selection.policies.newcomers import NEWCOMERS, limit_newcomers, new_among
from selection.policies.policy import Observation, Policy, Prepared, add_floor, normalise

if TYPE_CHECKING:
    from selection.policies.arithmetic.memory_choice import Belief


@dataclass(frozen=True, slots=True, kw_only=True)
class AdaptiveUCB(Policy):
    """Ask the arm with the highest upper bound of its mean reward, at a confidence drawn by chance.

    The bound is Wilson's (1927), with z**2 = 2 * u * exploration * ratio_i * log(1 + n / n_i):
    KL-UCB+ (Garivier and Cappé 2011) in closed form, for rewards that vary less than coin flips by
    ratio_i (`reward_variance.py`). u is drawn from 0 to 1 for each query, the same for
    all arms (RandUCB: Vaswani, Mehrabian, Durand and Kveton 2020). n_i are the labels of the
    longest memory that still holds (`MEMORIES`), or what arms that changed together tell
    (`memory_choice.py`).
    """

    name: ClassVar[str] = "adaptive_ucb"

    exploration: float = 0.7
    floor: float = 0.02
    newcomers: float = NEWCOMERS[0]

    @property
    def statistic(self) -> StatisticKind:
        return MEMORIES

    @property
    def statistics(self) -> tuple[StatisticKind, ...]:
        return (MEMORIES, LEVELS, REWARDS)

    def prepare(self, statistics: Statistics, arms: Mapping[str, float]) -> Prepared:
        # NumPy is loaded where a policy needs it: other processes do without its memory.
        from selection.policies.arithmetic.memory_choice import choose_beliefs

        known = choose_beliefs(list(statistics.values()))
        best = self._bounded(known, statistics)
        trusted = {
            arm: (rewards + 1.0) / (count + 2.0)
            for arm, count, rewards in zip(
                statistics, known.counts.tolist(), known.rewards.tolist(), strict=True
            )
        }
        return Prepared.draw_one(
            weights=normalise(trusted), probabilities=add_floor(best, floor=self.floor)
        )

    def observe(self, seen: Observation) -> dict[str, Vector]:
        return memories(seen.losses)

    def reason(self, statistics: Statistics) -> str:
        from selection.policies.arithmetic.memory_choice import lengths

        cut = {
            arm: length
            for arm, length in zip(statistics, lengths(list(statistics.values())), strict=True)
            if length
        }
        if not cut:
            return "No version has changed, so nothing is forgotten."
        text = ", ".join(f"{arm} (the last {length:,.0f})" for arm, length in cut.items())
        return f"Only so many labels of all still tell what these are like now: {text}."

    def _bounded(self, known: Belief, statistics: Statistics) -> Mapping[str, float]:
        """Return the chances to be asked, limited for newcomers."""
        from selection.policies.arithmetic.memory_choice import highest_bound

        new = new_among(statistics)

        def drawn(*, among: Sequence[bool] | None = None) -> dict[str, float]:
            shares = highest_bound(known, exploration=self.exploration, among=among)
            return dict(zip(statistics, shares, strict=True))

        return limit_newcomers(
            drawn(),
            new=new,
            newcomers=self.newcomers,
            known=lambda: drawn(among=[arm not in new for arm in statistics]),
        )
