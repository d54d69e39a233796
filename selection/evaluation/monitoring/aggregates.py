"""What a stretch of feedback says of an application and each of its arms, as sums that add up.

A stretch may be ten seconds or a month: the sums of a longer one are those of its parts added, so
nothing is lost when old snapshots are merged. `estimates` beside it reads them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import add
from typing import NamedTuple

from selection.policies.base import LOWEST_PROPENSITY


class RewardSums(NamedTuple):
    """What the application's answers earned: pieces of feedback, sum of rewards and of squares."""

    rounds: float = 0.0
    total: float = 0.0
    squares: float = 0.0


class ArmSums(NamedTuple):
    """Of one arm, over the feedback in which it took part (`rounds`).

    `earned` and `earned_squares` tell what the application's answers earned in these rounds, and
    `seen` and `reward` how often the arm's own reward is known, and their plain sum. In all others
    a reward r counts by a = 1 / the arm's chance to be asked, and e is what was earned.
    """

    rounds: float = 0.0
    earned: float = 0.0
    earned_squares: float = 0.0
    seen: float = 0.0
    reward: float = 0.0
    a: float = 0.0
    ar: float = 0.0
    ae: float = 0.0
    are: float = 0.0
    aa: float = 0.0
    aar: float = 0.0
    aarr: float = 0.0


def of_round(*, earned: float, reward: float | None, propensity: float) -> ArmSums:
    """Return one piece of feedback as sums; `reward` None: the arm took part but wasn't asked."""
    if reward is None:
        return ArmSums(1.0, earned, earned**2)
    a = 1.0 / max(propensity, LOWEST_PROPENSITY)
    ar = a * reward
    return ArmSums(
        *(1.0, earned, earned**2, 1.0, reward),
        *(a, ar, a * earned, ar * earned, a * a, a * ar, ar * ar),
    )


def added_earned(parts: Iterable[Sequence[float]]) -> RewardSums:
    """Return the sums of several stretches; those of each may be as they are kept, a list."""
    total: Sequence[float] = RewardSums()
    for part in parts:
        total = list(map(add, total, part))
    return RewardSums(*total)


def added(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, ArmSums]:
    """Return the sums of several stretches, by arm; likewise."""
    total: dict[str, Sequence[float]] = {}
    for part in parts:
        for arm, sums in part.items():
            known = total.get(arm)
            total[arm] = sums if known is None else list(map(add, known, sums))
    return {arm: ArmSums(*sums) for arm, sums in total.items()}
