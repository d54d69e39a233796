"""The choice of the memory of an arm that still holds, and upper bounds of what it tells.

The memory is the longest that agrees with all shorter ones (Lepski 1991; the windows of Bifet and
Gavaldà 2007, "Learning from time-changing data with adaptive windowing"); they disagree if the
likelihood ratio n * KL(short, long) is large.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from selection.policies.arithmetic.reward_variance import variance_ratios
from selection.policies.arithmetic.ridge import shares_of_highest
from selection.policies.arithmetic.sums import KEEPS, LENGTHS, MEMORIES, REWARDS, Vector

Array = NDArray[np.float64]

TINY = 1e-9


class Belief(NamedTuple):
    """The belief about each arm: so many labels, these rewards in all, their `variance_ratios`."""

    counts: Array
    rewards: Array
    ratios: Array | float = 1.0


def choose_beliefs(vectors: Sequence[Vector]) -> Belief:
    """Return what the arms' sums tell of them now: `MEMORIES`, `LEVELS` and `REWARDS` of each."""
    sums, ratios = _as_coin_flips(vectors)
    counts, rewards, worth = _memories(sums[:, : MEMORIES.width])
    levels = sums[:, MEMORIES.width :]
    held = _held(counts[:, :-1], rewards[:, :-1], worth=worth[:, :-1], levels=levels)
    own = rewards[:, -1] / np.maximum(counts[:, -1], TINY)
    usual = (held.rewards + 0.5) / (held.counts + 1.0)
    # Own last labels that are better than the belief need less evidence: such an arm is seldom
    # asked, and the cost of another look ends with the next few labels.
    risen = (own > usual) & (worth[:, -1] * divergence(own, usual) > 4.0)
    return Belief(
        ratios * np.where(risen, counts[:, -1], held.counts),
        ratios * np.where(risen, rewards[:, -1], held.rewards),
        ratios,
    )


def lengths(vectors: Sequence[Vector]) -> list[float | None]:
    """Return of each arm the labels that its memory goes back; None where it goes back to all."""
    sums, _ = _as_coin_flips(vectors)
    counts, rewards, worth = _memories(sums[:, : MEMORIES.width])
    longest = longest_that_holds(counts[:, :-1], rewards[:, :-1], worth=worth[:, :-1])
    return [(None, *LENGTHS)[place] for place in longest.tolist()]


def _as_coin_flips(vectors: Sequence[Vector]) -> tuple[Array, Array]:
    """Return `MEMORIES` and `LEVELS` of as many coin flips as labels are worth, and the ratios."""
    ratios = np.array(variance_ratios([vector[-REWARDS.width :] for vector in vectors]))
    table = np.array(vectors, dtype=np.float64)[:, : -REWARDS.width]
    table /= ratios[:, None]
    return table, ratios


def _memories(sums: Array) -> tuple[Array, Array, Array]:
    """Return labels, rewards and what the labels are worth, by arm and memory."""
    table = sums.reshape(len(sums), len(KEEPS), 3)
    counts = np.maximum(table[:, :, 0], 0.0)
    rewards = np.clip(table[:, :, 1], 0.0, counts)
    return counts, rewards, counts * counts / np.maximum(table[:, :, 2], TINY)


def _held(counts: Array, rewards: Array, *, worth: Array, levels: Array) -> Belief:
    """Return what the longest memory of each arm tells."""
    longest = longest_that_holds(counts, rewards, worth=worth)
    if not longest.any():
        return Belief(counts[:, 0], rewards[:, 0])
    arms = np.arange(len(counts))
    recent = np.maximum(longest, longest.max() - 1)
    older = counts[arms, longest] - counts[arms, recent]
    # If one arm has changed, so may others that nobody looked at: their older labels, beyond one
    # memory longer than the changed arm's, count as ten at most.
    share = np.minimum(1.0, 10.0 / np.maximum(older, TINY))
    moved = forecast(counts, rewards, levels=levels, lately=int(longest.max()))
    share = np.where(moved.counts > 0.0, (1.0 - moved.together) * share, share)
    return Belief(
        *(
            sums[arms, recent] + share * (sums[arms, longest] - sums[arms, recent]) + more
            for sums, more in (
                (counts, moved.together * moved.counts),
                (rewards, moved.together * moved.rewards),
            )
        )
    )


def longest_that_holds(counts: Array, rewards: Array, *, worth: Array) -> NDArray[np.intp]:
    """Return for each arm (a row) the first memory (a column) with which all later ones agree."""
    means = rewards / np.maximum(counts, TINY)
    # A half each more, so that no mean is quite 0 or 1.
    smoothed = (rewards + 0.5) / (counts + 1.0)
    ratios = worth[:, None, :] * divergence(means[:, None, :], smoothed[:, :, None])
    later = np.triu(np.ones(ratios.shape[1:], dtype=bool), k=1)
    # e**-6 is the chance that two that agree look so different at one moment; looked at for 10,000
    # labels, five equal memories cost two or three of regret.
    disagreeing = np.any((ratios > 6.0) & later, axis=2)
    first: NDArray[np.intp] = np.argmin(disagreeing, axis=1)
    return first


def divergence(p: Array, q: Array) -> Array:
    """Return KL(p, q) of Bernoulli distributions; no q is 0 or 1."""
    # 0 * log(0) is 0.
    ones = p * np.log(np.maximum(p, TINY) / q)
    zeros = (1.0 - p) * np.log(np.maximum(1.0 - p, TINY) / (1.0 - q))
    total: Array = ones + zeros
    return total


class Forecast(NamedTuple):
    """Labels and rewards of arms by their differences; the chance that they moved `together`."""

    together: float
    counts: Array
    rewards: Array


def forecast(counts: Array, rewards: Array, *, levels: Array, lately: int) -> Forecast:
    """Return what the arms (rows) are like, given that some have changed."""
    recent, rewarded = counts[:, lately], rewards[:, lately]
    asked = int(np.argmax(recent))
    labels = levels[:, 2]
    above = levels[:, 3] / np.maximum(labels, TINY)
    means = np.clip(rewarded[asked] / max(recent[asked], TINY) + above - above[asked], 0.0, 1.0)
    # The arm asked most is known better by its own labels.
    known = labels >= 1.0
    known[asked] = False
    older, of_older = counts[:, 0] - recent, rewards[:, 0] - rewarded
    # No prediction is quite impossible, as arms don't move exactly together.
    before, now = np.clip([of_older / np.maximum(older, TINY), means], 0.01, 0.99)
    ratios = rewarded * np.log(now / before)
    ratios += (recent - rewarded) * np.log((1.0 - now) / (1.0 - before))
    # -2: log odds, before their labels say, that arms move together.
    odds = np.clip(-2.0 + ratios[known & (older >= 1.0)].sum(), -700.0, 700.0)
    # Differences count as so many labels at most.
    worth = np.where(known, np.minimum(labels, 100.0), 0.0)
    return Forecast(float(1.0 / (1.0 + np.exp(-odds))), worth, worth * means)


# --- bounds of the mean reward ------------------------------------------------------------------


def highest_bound(
    known: Belief, *, exploration: float, among: Sequence[bool] | None = None
) -> list[float]:
    """Return each arm's chance to have the highest bound; arms that tie share."""
    # By this root of an even draw most widths are near the whole one, so that no arm that could be
    # best is left for long.
    shares = ((np.arange(16) + 0.5) / 16) ** 0.3
    return shares_of_highest(upper_bounds(known, exploration=exploration * shares), among=among)


def upper_bounds(known: Belief, *, exploration: Array) -> Array:
    """Return a row of bounds of the arms' means for each exploration: Wilson's upper limit.

    z**2 = 2 * exploration * ratio_i * log(1 + n / n_i), for n_i observations of the arm, n of all.
    """
    # Fewer observations count as none, with a bound of 1.
    counts = np.maximum(known.counts, 1e-6)
    means = known.rewards / counts
    z2 = 2.0 * exploration[:, None] * known.ratios * np.log1p(counts.sum() / counts)
    spread = np.sqrt(z2 * (means * (1.0 - means) / counts + z2 / (4.0 * counts * counts)))
    bounds = (means + z2 / (2.0 * counts) + spread) / (1.0 + z2 / counts)
    return np.where(known.counts < 1e-6, 1.0, bounds)
