"""Burn rates of an error budget, by Google's and Sloth's windows, and the evidence for them.

The budget is the share of queries that may be bad: 1 - target. A burn rate of 1 uses it up exactly
at the end of the objective's period.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

# The windows are those of an objective over 28 days; others scale them by their period.
PERIOD_S = 28 * 86_400.0
# The history has steps of ten seconds, and a rate needs a few of them.
SHORTEST_S = 60.0


class BadShare(NamedTuple):
    """Counts of bad queries and of all."""

    bad: int
    total: int


class Burn(NamedTuple):
    """A share of the budget that may not be used up within the windows (seconds)."""

    share: float
    long_s: float
    short_s: float


FAST = (Burn(0.02, 3600, 300), Burn(0.05, 6 * 3600, 1800))
SLOW = (Burn(0.10, 86_400, 7200), Burn(0.10, 3 * 86_400, 6 * 3600))


def is_above(counted: BadShare, *, share: float) -> bool:
    """Return whether the Clopper-Pearson 99 % lower bound of the bad share is above `share`."""
    bad, total = counted
    if bad <= share * total:
        return False
    from scipy.special import betainc  # type: ignore[import-untyped]  # it has no stubs

    # The chance of as many bad ones, or more, if the share were this.
    return bool(betainc(bad, total - bad + 1, share) < 0.01)


def burning(
    burns: Sequence[Burn], *, target: float, period_s: float, within: Callable[[float], BadShare]
) -> tuple[float, float, BadShare] | None:
    """Return the rate, window and counts of the first burn that lasts in both of its windows."""
    for burn in burns:
        long_s, short_s = (
            max(SHORTEST_S, window * period_s / PERIOD_S) for window in (burn.long_s, burn.short_s)
        )
        threshold = min(1.0, burn.share * period_s / long_s * (1.0 - target))
        long = within(long_s)
        if is_above(long, share=threshold):
            short = within(short_s)
            if short.bad > threshold * short.total:
                return long.bad / long.total / (1.0 - target), long_s, long
    return None


def misses(counted: BadShare, *, target: float) -> bool:
    """Return whether a period's share of good queries is below the target, and not by chance."""
    # In a young period a handful of bad queries says nothing of the whole.
    return counted.bad >= 20 and is_above(counted, share=1.0 - target)
