"""Chances of arms to have the highest upper bound of the mean reward, at a drawn confidence."""

from collections.abc import Sequence

import numpy as np

from selection.policies.arithmetic.memory_choice import Array, Belief

# Confidence is drawn from so many values, equally likely.
DRAWS = 16


def highest_bound(
    known: Belief, *, exploration: float, among: Sequence[bool] | None = None
) -> list[float]:
    """Return each arm's chance to have the highest bound; arms that tie share."""
    # By this root of an even draw most widths are near the whole one, so that no arm that could be
    # best is left for long.
    shares = ((np.arange(DRAWS) + 0.5) / DRAWS) ** 0.3
    bounds = upper_bounds(known, exploration=exploration * shares)
    if among is not None:
        bounds[:, ~np.array(among)] = -1.0
    best = bounds == bounds.max(axis=1, keepdims=True)
    chances: list[float] = (best / best.sum(axis=1, keepdims=True)).mean(axis=0).tolist()
    return chances


def upper_bounds(known: Belief, *, exploration: Array) -> Array:
    """Return a row of bounds of the arms' means for each exploration: Wilson's upper limit.

    z**2 = 2 * exploration * log(1 + n / n_i), for n_i observations of the arm and n of all.
    """
    # Fewer observations count as none, with a bound of 1.
    counts = np.maximum(known.counts, 1e-6)
    means = known.rewards / counts
    z2 = 2.0 * exploration[:, None] * np.log1p(counts.sum() / counts)
    spread = np.sqrt(z2 * (means * (1.0 - means) / counts + z2 / (4.0 * counts * counts)))
    bounds = (means + z2 / (2.0 * counts) + spread) / (1.0 + z2 / counts)
    return np.where(known.counts < 1e-6, 1.0, bounds)
