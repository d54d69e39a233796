"""The bounded share of queries for versions without feedback.

An upper confidence bound is highest for an arm never observed: if labels are late, all queries
would go to a version that may be no good.
"""

import math
from collections.abc import Callable, Mapping

from selection.policies.arithmetic.sums import Statistics
from selection.policies.policy import evenly, highest, normalise

NEWCOMERS = (0.1, 1e-3, 1.0, "share for all versions without feedback, once others have some")


def new_among(statistics: Statistics) -> frozenset[str]:
    """Return the arms whose share is bounded, given observations first in each arm's sums."""
    # With fewer observations of all there is nothing to lose: new versions come first in turn.
    if max(vector[0] for vector in statistics.values()) < 10.0:
        return frozenset()
    # Fading takes a version that had one label below 1 again.
    return frozenset(arm for arm, vector in statistics.items() if vector[0] < 1.0)


def limit_newcomers(
    chances: Mapping[str, float],
    *,
    new: frozenset[str],
    newcomers: float,
    known: Callable[[], Mapping[str, float]] | None = None,
) -> Mapping[str, float]:
    """Return the chances with no more than the share `newcomers` for all `new` arms together.

    The rest is shared by `known`, the others' chances among themselves; else in proportion.
    """
    share = math.fsum(chances[arm] for arm in new)
    if share <= newcomers:
        return chances
    others = normalise({a: x for a, x in chances.items() if a not in new}) if not known else known()
    return {
        arm: newcomers * chance / share if arm in new else (1.0 - newcomers) * others[arm]
        for arm, chance in chances.items()
    }


def favour_highest(
    scores: Mapping[str, float], *, new: frozenset[str], newcomers: float
) -> Mapping[str, float]:
    """Return equal chances for the arms of the highest score, limited for `new` arms."""

    def among_known() -> Mapping[str, float]:
        known = {arm: score for arm, score in scores.items() if arm not in new}
        return evenly(highest(known), among=scores)

    best = evenly(highest(scores), among=scores)
    return limit_newcomers(best, new=new, newcomers=newcomers, known=among_known)
