"""Versions that nothing is known of yet: what a policy that prefers the unknown may give them.

An index such as an upper confidence bound is highest where nothing was observed, and stays so until
the first label. Where labels are late that is long: all queries would go to a version that may be
no good. So they get a bounded share, which brings their first labels as surely.
"""

from __future__ import annotations

from collections.abc import Mapping

from selection.policies.base import Parameter, evenly, highest
from selection.policies.statistics import Statistics

# Observations below which a version is new; fading takes a version there again that had one label.
NEW_BELOW = 1.0
# Observations of some version from which on there is something to lose. Before, at the very start,
# each new version comes first in turn.
SETTLED_FROM = 10.0

NEWCOMERS = Parameter(
    "newcomers", 0.1, 1e-3, 1.0, "share for all versions without feedback, once others have some"
)


def new_among(statistics: Statistics) -> frozenset[str]:
    """Return the arms whose share is bounded, given observations first in each arm's sums."""
    if max(vector[0] for vector in statistics.values()) < SETTLED_FROM:
        return frozenset()
    return frozenset(arm for arm, vector in statistics.items() if vector[0] < NEW_BELOW)


def favoured(
    scores: Mapping[str, float], *, new: frozenset[str], newcomers: float
) -> dict[str, float]:
    """Return chances for the arms of the highest score, of which `new` ones get no more together
    than the share `newcomers`; the best of the others has what is left.
    """
    best = evenly(highest(scores), among=scores)
    if not new:
        return best
    share = sum(best[arm] for arm in new)
    if share <= newcomers:
        return best
    known = {arm: score for arm, score in scores.items() if arm not in new}
    rest = evenly(highest(known), among=scores)
    return {
        arm: newcomers * best[arm] / share if arm in new else (1.0 - newcomers) * rest[arm]
        for arm in scores
    }


def capped(
    chances: Mapping[str, float], *, new: frozenset[str], newcomers: float
) -> Mapping[str, float]:
    """Return chances, all above 0, of which `new` arms have no more together than `newcomers`."""
    share = sum(chances[arm] for arm in new)
    if share <= newcomers:
        return chances
    # 1 - share would lose the digits of what is left beside a share close to 1, or all of it.
    rest = sum(chance for arm, chance in chances.items() if arm not in new)
    return {
        arm: chance * (newcomers / share if arm in new else (1.0 - newcomers) / rest)
        for arm, chance in chances.items()
    }


def bounded_to(
    newcomers: float,
    chances: Mapping[str, float],
    *,
    new: frozenset[str],
    known: Mapping[str, float],
) -> dict[str, float]:
    """Return chances of which `new` arms, who have more, get the share `newcomers` together; what
    is left is drawn by `known`, the chances of the others among themselves.
    """
    share = sum(chances[arm] for arm in new)
    return {
        arm: newcomers * chance / share if arm in new else (1.0 - newcomers) * known[arm]
        for arm, chance in chances.items()
    }
