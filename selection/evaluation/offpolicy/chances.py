"""The chance that each arm had of each query, where a log tells only that of the arm asked."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from selection.evaluation.offpolicy.log import Flags, Floats, Indices, Log

# Where an arm isn't asked in g queries running, its chance hardly was above this / g: it would have
# been asked with 95 %. In logs by chances that never change the bound costs 8 % of the evidence.
SILENCE = 3.0


class _Side(NamedTuple):
    """The next query to one side that asked an arm: where, if `there` is one, and by what chance"""

    place: Indices
    there: Flags
    chance: Floats


def plausible_chances(log: Log, *, groups: Indices) -> Floats:
    """Return what chance each arm had at most, as far as the log tells: n x K, 0 where it had none.

    That of an arm asked is logged. Chances move with what was learned, in each group of rows by
    itself; so that of another arm is taken to be no more than at the queries before and after that
    asked it, no more than a silence between them allows, and no more than the arm asked left to it.
    Without this, a log in which an arm happened not to be asked while it hardly had a chance would
    seem to tell more of it than others.
    """
    order = np.argsort(groups, kind="stable")
    ordered, drawn = groups[order], log.drawn[order]
    starts = np.searchsorted(ordered, ordered, side="left")
    ends = np.searchsorted(ordered, ordered, side="right")
    left = _left_to_others(log)[order]
    result = np.zeros(log.asked.shape)
    for k in range(len(log.arms)):
        asked = log.asked[order, k]
        logged = log.propensities[order, k]
        at = asked & drawn
        if np.any(at):
            column = _between(at, logged, starts=starts, ends=ends)
            result[order, k] = np.where(drawn, np.minimum(column, left), 0.0)
        result[order[asked], k] = logged[asked]
    return np.where(log.possible, result, 0.0)


def _between(at: Flags, logged: Floats, *, starts: Indices, ends: Indices) -> Floats:
    """Return the chance of an arm asked `at` some rows in all rows of their groups."""
    rows = np.arange(len(at))
    before = np.maximum.accumulate(np.where(at, rows, -1))
    after = np.minimum.accumulate(np.where(at, rows, len(at))[::-1])[::-1]
    past = _Side(before, before >= starts, logged[np.maximum(before, 0)])
    future = _Side(after, after < ends, logged[np.minimum(after, len(at) - 1)])
    silent = np.where(future.there, after, ends) - np.where(past.there, before, starts - 1) - 1
    bounds = [np.where(side.there, side.chance, 1.0) for side in (past, future)]
    # A group that never asked it: as little as wherever it was asked by the least chance.
    nowhere = ~(past.there | future.there)
    least = np.where(nowhere, np.min(logged[at]), 1.0)
    return np.asarray(
        np.minimum.reduce([*bounds, least, SILENCE / np.maximum(silent, SILENCE)]),
        dtype=np.float64,
    )


def _left_to_others(log: Log) -> Floats:
    """Return, for each row, the most that another arm's chance can have been (n).

    Where the arm asked was the likelier, policies explore evenly: the others share the rest.
    """
    taken = np.sum(np.where(log.asked, log.propensities, 0.0), axis=1)
    others = np.maximum(np.sum(log.possible, axis=1) - 1, 1)
    rest = np.maximum(1.0 - taken, 0.0)
    return np.asarray(np.where(taken > 0.5, rest / others, rest), dtype=np.float64)
