"""Evidence of a log about its arms, computed once for all targets."""

from dataclasses import dataclass

import numpy as np

from selection.evaluation.offpolicy.log import Flags, Floats, Indices, Log


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """A log with, for each row and arm (n x K), the plausible `chances` and the `expected` rewards.

    By row (n), `kin` are the queries whose arm was drawn together with its own, and `inflation`
    says how much less it tells than an independent one. By arm (K), `settled` is the mean reward.
    `alike`: the correlation of rewards by one person, who is asked by arms drawn for each query.
    """

    log: Log
    chances: Floats
    expected: Floats
    kin: Floats
    inflation: Floats
    settled: Floats
    dispersion: Floats
    alike: float


def evidence_of(log: Log) -> Evidence:
    """Return what the log tells of its arms."""
    sticky = kept_together(log)
    settled = settled_rewards(log)
    # Contexts that keep their arms as people do have the same chances.
    one = sticky and not log.keyed
    groups = np.zeros(len(log), dtype=np.intp) if one else log.contexts
    kin = sizes_of(log) if sticky else np.ones(len(log))
    rho = likeness(log, settled=settled, rows=log.drawn, by_arm=True) if sticky else 0.0
    return Evidence(
        log=log,
        chances=plausible_chances(log, groups=groups),
        expected=expected_rewards(log),
        kin=kin,
        inflation=1.0 + rho * (kin - 1.0),
        alike=0.0
        if sticky or not log.keyed
        else likeness(log, settled=settled, rows=np.full(len(log), True), by_arm=False),
        settled=settled,
        dispersion=np.array(
            [spread_of(log.rewards[log.asked[:, k], k]) for k in range(len(log.arms))]
        ),
    )


def spread_of(rewards: Floats) -> float:
    """Return the variance of rewards as a share of what right or wrong ones of their mean have."""
    n = len(rewards)
    mean = float(np.mean(rewards)) if n else 0.0
    most = mean * (1.0 - mean)
    if most <= 0.0:
        return 1.0
    ratio = min(float(np.var(rewards)) / most, 1.0)
    # As if so many answers of each arm had differed as much as they can.
    return (n * ratio + 10.0) / (n + 10.0)


def plausible_chances(log: Log, *, groups: Indices) -> Floats:
    """Return the chance that each arm had at most, as far as the log tells (n x K).

    That of an arm not asked is taken to be no more than at the queries before and after that asked
    it, than a silence between them allows, and than the arm asked left to it. Without this, a log
    in which an arm happened not to be asked while it hardly had a chance would seem to tell more of
    it.
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
    past, future = before >= starts, after < ends
    silent = np.where(future, after, ends) - np.where(past, before, starts - 1) - 1
    bounds = [
        np.where(past, logged[np.maximum(before, 0)], 1.0),
        np.where(future, logged[np.minimum(after, len(at) - 1)], 1.0),
    ]
    # A group that never asked it: as little as wherever it was asked by the least chance.
    nowhere = ~(past | future)
    least = np.where(nowhere, np.min(logged[at]), 1.0)
    return np.asarray(
        # An arm not asked in g queries running hardly had a chance above 3 / g: it would have been
        # asked with 95 %. If chances never change, the bound costs 8 % of the evidence.
        np.minimum.reduce([*bounds, least, 3.0 / np.maximum(silent, 3.0)]),
        dtype=np.float64,
    )


def _left_to_others(log: Log) -> Floats:
    """Return the most that another arm's chance can have been in each row (n)."""
    taken = np.sum(np.where(log.asked, log.propensities, 0.0), axis=1)
    others = np.maximum(np.sum(log.possible, axis=1) - 1, 1)
    rest = np.maximum(1.0 - taken, 0.0)
    return np.asarray(np.where(taken > 0.5, rest / others, rest), dtype=np.float64)


def kept_together(log: Log) -> bool:
    """Return whether queries of a person mostly ask the same arm again, more than by chance."""
    rows = np.flatnonzero(log.drawn)
    if not len(rows):
        return False
    rows = rows[np.argsort(log.people[rows], kind="stable")]
    arms, chances = np.argmax(log.asked[rows], axis=1), np.min(log.propensities[rows], axis=1)
    same = log.people[rows][1:] == log.people[rows][:-1]
    changes = float(np.sum(same & (arms[1:] != arms[:-1])))
    expected = float(np.sum((1.0 - chances[:-1])[same]))
    # Fewer changes than this share of those that chance would make say that people keep their arms,
    # where chance would make this many.
    return expected >= 5.0 and changes <= 0.25 * expected


def sizes_of(log: Log) -> Floats:
    """Return how many queries, each drawn by chance, a row's person has (n); 1 for other rows."""
    counts = np.bincount(log.people[log.drawn], minlength=_count(log))
    return np.where(log.drawn, counts[log.people], 1).astype(np.float64)


def likeness(log: Log, *, settled: Floats, rows: Flags, by_arm: bool) -> float:
    """Return the correlation of rewards by one person, in [0, 1], one error higher.

    It is rho in the design effect of cluster samples, 1 + rho (m - 1) for m queries (Kish 1965), of
    the rows given. Those of an arm, or the means of all arms asked.
    """
    off = np.sum(np.where(log.asked, log.rewards - settled, 0.0), axis=1)
    off = np.where(rows, off / np.maximum(np.sum(log.asked, axis=1), 1), 0.0)
    width = len(log.arms) if by_arm else 1
    groups = log.people * width + (np.argmax(log.asked, axis=1) if by_arm else 0)
    cells = _count(log) * width
    squares = np.bincount(groups, off**2, cells)
    alike = np.bincount(groups, off, cells) ** 2 - squares
    members = np.bincount(groups[rows], minlength=cells).astype(np.float64)
    pairs = members * (members - 1.0)
    if not np.sum(pairs):
        return 0.0
    covariance = np.sum(alike) / np.sum(pairs)
    error = np.sqrt(np.sum((alike - covariance * pairs) ** 2)) / np.sum(pairs)
    variance = max(float(np.sum(squares)) / float(np.sum(rows)), 1e-12)
    return float(np.clip((covariance + error) / variance, 0.0, 1.0))


def _count(log: Log) -> int:
    return int(np.max(log.people, initial=-1)) + 1


def expected_rewards(log: Log) -> Floats:
    """Return, for each query and arm, the mean reward seen before that query: n x K.

    As no row tells its own reward, the estimate is a martingale although the policy that logged it
    was learning (Hadad et al. 2021). An arm's mean in a context borrows from its mean in all of
    them.
    """
    everywhere = np.zeros(len(log), dtype=np.intp)
    seen = log.asked.astype(np.float64)
    counts, sums = before(seen, groups=everywhere), before(log.rewards, groups=everywhere)
    # Before anything is seen: one answer, half right.
    general = (sums + 0.5) / (counts + 1.0)
    if len(log.context_names) == 1:
        return general
    counts, sums = before(seen, groups=log.contexts), before(log.rewards, groups=log.contexts)
    # The mean of the arm in all contexts counts by this many answers.
    return np.asarray((sums + 10.0 * general) / (counts + 10.0), dtype=np.float64)


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
    return np.asarray((sums + 0.5) / (counts + 1.0), dtype=np.float64)
