"""An arm's rewards in memories of several lengths.

The first memory never fades, the others so that the last 3,000 to 30 labels of all arms count, and
the last one by labels of the arm itself.
"""

from selection.policies.arithmetic.sums import StatisticKind, Vector

LENGTHS = (3000.0, 1000.0, 300.0, 100.0, 30.0)
KEEPS = (1.0, *(1.0 - 1.0 / length for length in (*LENGTHS, 4.0)))
# For each memory: the weights of its labels, their rewards, and the squares of the weights, which
# tell how many labels it is worth.
NUMBERS = 3
MEMORIES = StatisticKind(
    "mem",
    NUMBERS * len(KEEPS),
    keeps=tuple(x for keep in KEEPS for x in (keep, keep, keep * keep)),
    by_arm=NUMBERS,
)


def sums_of_reward(reward: float) -> Vector:
    """Return what one reward adds to the sums."""
    return (1.0, reward, 1.0) * len(KEEPS)
