"""Where arms have changed together, as by queries that are harder for all: what old labels tell.

An arm's own memories say how it was, and where one arm has changed nobody knows of the others. But
each label is also compared with what all arms earned lately (`LEVELS`; reinforcement comparison:
Sutton and Barto 1998, "Reinforcement learning", section 2.8). Arms that rise and fall
together keep these differences, and so what each is like now follows from any that is still asked.
Whether they have moved together is told by the likelihood of the other arms' latest labels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# That arms have moved together is taken to be this much likelier than that each goes its own way,
# in logarithms, before their labels say.
AT_FIRST = -2.0
# Differences count as so many labels at most.
DIFFERENCES_COUNT = 100.0
# What is foretold is never quite impossible, for arms don't move exactly together.
SELDOM = 0.01
TINY = 1e-9


class Foretold(NamedTuple):
    """What differences tell of the arms: so many labels, with these rewards in all.

    `together` is the chance that arms have moved together.
    """

    together: float
    counts: Array
    rewards: Array


def foretold(counts: Array, rewards: Array, *, levels: Array, lately: int) -> Foretold:
    """Return what the arms (rows) are like, given that some have changed.

    `counts` and `rewards` are those of the memories (columns), the longest first, of which `lately`
    goes back no further than the change; `levels` are the sums of `LEVELS`.
    """
    recent, rewarded = counts[:, lately], rewards[:, lately]
    asked = int(np.argmax(recent))
    labels = levels[:, 2]
    above = levels[:, 3] / np.maximum(labels, TINY)
    means = np.clip(rewarded[asked] / max(recent[asked], TINY) + above - above[asked], 0.0, 1.0)
    # Of the arm that is asked most, its own labels tell more.
    told = labels >= 1.0
    told[asked] = False
    older, of_older = counts[:, 0] - recent, rewards[:, 0] - rewarded
    before = _possible(of_older / np.maximum(older, TINY))
    now = _possible(means)
    ratios = rewarded * np.log(now / before)
    ratios += (recent - rewarded) * np.log((1.0 - now) / (1.0 - before))
    together = _logistic(AT_FIRST + float(ratios[told & (older >= 1.0)].sum()))
    worth = np.where(told, np.minimum(labels, DIFFERENCES_COUNT), 0.0)
    return Foretold(together, worth, worth * means)


def _possible(means: Array) -> Array:
    return np.clip(means, SELDOM, 1.0 - SELDOM)


def _logistic(x: float) -> float:
    return float(1.0 / (1.0 + np.exp(-np.clip(x, -700.0, 700.0))))
