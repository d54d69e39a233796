"""What an arm's answer should earn, as far as earlier feedback tells: doubly robust's model."""

from __future__ import annotations

import numpy as np

from selection.evaluation.offpolicy.log import Floats, Indices, Log

# The mean of an arm in one context counts by as many answers as it rests on, that of the arm in
# all contexts by this many.
BORROWED = 10.0
# Before anything is seen: one answer, half right.
PRIOR = 0.5


def expected_rewards(log: Log) -> Floats:
    """Return, for each query and arm, the mean reward seen before that query: n x K.

    Only earlier rows speak, so that a row never tells its own reward, nor one on which the chances
    of later queries depend: what the estimate adds up is then a martingale although the policy
    that logged it was learning (Hadad et al. 2021). An arm's mean in a context borrows from its
    mean in all of them, in proportion as it rests on few answers itself.
    """
    everywhere = np.zeros(len(log), dtype=np.intp)
    seen = log.asked.astype(np.float64)
    counts, sums = before(seen, groups=everywhere), before(log.rewards, groups=everywhere)
    general = (sums + PRIOR) / (counts + 1.0)
    if len(log.context_names) == 1:
        return general
    counts, sums = before(seen, groups=log.contexts), before(log.rewards, groups=log.contexts)
    return np.asarray((sums + BORROWED * general) / (counts + BORROWED), dtype=np.float64)


def before(values: Floats, *, groups: Indices) -> Floats:
    """Return, for each row, the sum of the rows above it that are of its group: n x K."""
    order = np.argsort(groups, kind="stable")
    ordered = values[order]
    running = np.cumsum(ordered, axis=0) - ordered
    starts = np.flatnonzero(np.diff(groups[order], prepend=-1))
    lengths = np.diff(np.append(starts, len(groups)))
    result = np.empty_like(running)
    result[order] = running - np.repeat(running[starts], lengths, axis=0)
    return result


def settled_rewards(log: Log) -> Floats:
    """Return the mean reward of each arm over the whole log: K."""
    counts, sums = np.sum(log.asked, axis=0), np.sum(log.rewards, axis=0)
    return np.asarray((sums + PRIOR) / (counts + 1.0), dtype=np.float64)
