"""People who are kept with one arm: how much less their queries tell than as many strangers'.

A person is a key, or else a context.
"""

from __future__ import annotations

import numpy as np

from selection.evaluation.offpolicy.log import Floats, Log

# Fewer changes than this share of those that chance would make say that people keep their arms,
# where chance would make this many.
FEW_CHANGES, CHANGES_EXPECTED = 0.25, 5.0


def kept_together(log: Log) -> bool:
    """Whether queries of a person mostly ask what the one before asked, more than by chance."""
    rows = np.flatnonzero(log.drawn)
    if not len(rows):
        return False
    rows = rows[np.argsort(log.people[rows], kind="stable")]
    arms, chances = np.argmax(log.asked[rows], axis=1), np.min(log.propensities[rows], axis=1)
    same = log.people[rows][1:] == log.people[rows][:-1]
    changes = float(np.sum(same & (arms[1:] != arms[:-1])))
    expected = float(np.sum((1.0 - chances[:-1])[same]))
    return expected >= CHANGES_EXPECTED and changes <= FEW_CHANGES * expected


def sizes_of(log: Log) -> Floats:
    """Return how many queries, each drawn by chance, a row's person has (n); 1 for other rows."""
    counts = np.bincount(log.people[log.drawn], minlength=_count(log))
    return np.where(log.drawn, counts[log.people], 1).astype(np.float64)


def likeness(log: Log, *, settled: Floats) -> float:
    """Return rho, how alike rewards of an arm by one person are: their correlation, in [0, 1].

    It is estimated from all arms and taken one standard error higher. In the design effect of
    cluster samples, 1 + rho (m - 1) for people of m queries (Kish 1965), it says how much less
    they tell. `settled` (K) are the arms' mean rewards.
    """
    drawn = log.drawn
    arms = np.argmax(log.asked, axis=1)
    rewards = np.sum(log.rewards, axis=1)
    off = np.where(drawn, rewards - settled[arms], 0.0)
    groups = log.people * len(log.arms) + arms
    cells = _count(log) * len(log.arms)
    squares = np.bincount(groups, off**2, cells)
    alike = np.bincount(groups, off, cells) ** 2 - squares
    members = np.bincount(groups[drawn], minlength=cells).astype(np.float64)
    pairs = members * (members - 1.0)
    if not np.sum(pairs):
        return 0.0
    covariance = np.sum(alike) / np.sum(pairs)
    error = np.sqrt(np.sum((alike - covariance * pairs) ** 2)) / np.sum(pairs)
    variance = max(float(np.sum(squares)) / float(np.sum(drawn)), 1e-12)
    return float(np.clip((covariance + error) / variance, 0.0, 1.0))


def _count(log: Log) -> int:
    return int(np.max(log.people, initial=-1)) + 1
