"""What a target would have earned: IPS, self-normalised and doubly robust, and how sure that is.

With n rows, the target's chance pi(a) of asking arm a, the chance p(a) it had when the query was
logged, and w(a) = pi(a) / p(a) for the arms asked, 0 for the others:

IPS                 V = 1/n sum w r                        (Horvitz and Thompson 1952)
self-normalised     V = sum w r / sum w                    (Swaminathan and Joachims 2015)
doubly robust       V = 1/n sum [pi q + w (r - q)]         (Dudik, Langford and Li 2011)

where q is what an arm should earn (`reward_model`). Where every arm was asked for certain, p = 1
and all three are the same: the rewards are simply seen (the direct method, which is exact then).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from selection.evaluation.offpolicy.intervals import Value, mean_with_interval, within
from selection.evaluation.offpolicy.log import Flags, Floats, Log
from selection.evaluation.offpolicy.reward_model import expected_rewards

# A row tells of a target that would have asked arms without a chance there by no more than this.
MOST_UNCOVERED = 0.1
# Fewer effective rows, or an interval wider than this, are too little to decide by.
ENOUGH_ROWS = 30.0
ENOUGH_WIDTH = 0.1
# Weights should average 1; further off, by so many standard errors, some chance was not as logged.
WEIGHTS_OFF, WEIGHTS_OFF_ERRORS = 0.05, 4.0


class Verdict(StrEnum):
    """Whether the log tells enough of a target."""

    ENOUGH = "enough"
    LITTLE = "little"
    NONE = "none"


class Method(StrEnum):
    """How the best estimate was made."""

    DIRECT = "direct"
    DOUBLY_ROBUST = "doubly_robust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What a target would have done with each query of a log.

    `chances` (n x K) of asking each arm, where it asks one. A target that asks several has
    `answers` (n) instead: the rewards of its combined outputs, not-a-number where the log can't
    tell them. `trained_on` is how many rows it learned from, where it learned as it went, and
    `pace` (n) how much of one of its steps each row then stands for.
    """

    chances: Floats
    answers: Floats | None = None
    trained_on: int | None = None
    pace: Floats | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """What a target would have earned, and what that rests on.

    `terms` (n) are the rows' own contributions to `best`, not-a-number where a row tells nothing;
    their mean, by `pace` (n), is `best.reward`; `row_weights` (n) say how much of a row was seen.
    The three estimates are None where nothing was seen.
    """

    verdict: Verdict
    explanation: str
    method: Method | None = None
    best: Value | None = None
    ips: Value | None = None
    self_normalised: Value | None = None
    doubly_robust: Value | None = None
    rows: int = 0
    effective_rows: float = 0.0
    largest_weight: float = 0.0
    mean_weight: float = 0.0
    without_overlap: float = 1.0
    trained_on: int | None = None
    terms: Floats | None = None
    row_weights: Floats | None = None
    pace: Floats | None = None


def estimate(log: Log, proposal: Proposal) -> Estimate:
    """Return what the log says of the target."""
    if not len(log):
        return Estimate(verdict=Verdict.NONE, explanation="no feedback to tell from")
    if proposal.answers is not None:
        return _of_answers(proposal.answers, trained_on=proposal.trained_on)
    chances = np.broadcast_to(proposal.chances, log.asked.shape)
    uncovered = np.sum(np.where(log.possible, 0.0, chances), axis=1)
    usable = uncovered <= MOST_UNCOVERED
    weights = np.where(log.asked, chances / log.propensities, 0.0)
    if not np.any(weights[usable]):
        return Estimate(verdict=Verdict.NONE, explanation=_why_none(log, chances, usable))
    return _of_chances(log, chances=chances, weights=weights, usable=usable, proposal=proposal)


def _of_chances(
    log: Log, *, chances: Floats, weights: Floats, usable: Flags, proposal: Proposal
) -> Estimate:
    covered = np.where(log.possible, chances, 0.0)[usable]
    uncovered = np.clip(1.0 - np.sum(covered, axis=1, keepdims=True), 0.0, 1.0)
    # What it would have asked without a chance in the log is unknown: the rest stands for itself,
    # and the interval says that the unknown may have earned anything.
    covered, w = covered / (1.0 - uncovered), weights[usable] / (1.0 - uncovered)
    rewards, model = log.rewards[usable], expected_rewards(log)[usable]
    missing = float(np.mean(uncovered))
    pace = np.ones(len(log)) if proposal.pace is None else proposal.pace
    steps = pace[usable] / np.mean(pace[usable])
    of_row = np.sum(w, axis=1)
    plain = np.sum(w * rewards, axis=1)
    robust = np.sum(covered * model + w * (rewards - model), axis=1)
    # Nobody's chance was a chance: what each arm earned was seen.
    exact = bool(np.allclose(w, covered)) and bool(np.allclose(of_row, 1.0))
    best = plain if exact else robust
    terms = np.full(len(log), np.nan)
    terms[usable] = best
    seen = steps * of_row
    values = [
        _bounded(mean_with_interval(x, weights=seen), unknown=missing)
        for x in (_paced(best, steps), _paced(plain, steps), _ratio(steps * plain, seen))
    ]
    values.append(
        _bounded(mean_with_interval(_paced(robust, steps), weights=seen), unknown=missing)
    )
    effective = float(np.sum(seen) ** 2 / np.sum(seen**2))
    verdict, explanation = _verdict(values[0], effective=effective, weights=of_row)
    return Estimate(
        verdict=verdict,
        explanation=explanation,
        method=Method.DIRECT if exact else Method.DOUBLY_ROBUST,
        best=values[0],
        ips=values[1],
        self_normalised=values[2],
        doubly_robust=values[3],
        rows=int(np.sum(usable)),
        effective_rows=effective,
        largest_weight=float(np.max(w)),
        mean_weight=float(np.mean(of_row)),
        without_overlap=1.0 - float(np.mean(usable)),
        trained_on=proposal.trained_on,
        terms=terms,
        row_weights=np.sum(weights, axis=1),
        pace=pace,
    )


def _paced(terms: Floats, steps: Floats) -> Floats:
    """Return terms whose plain mean is that of `terms` by `steps`, and spread as that does."""
    return _ratio(steps * terms, steps)


def _ratio(above: Floats, below: Floats) -> Floats:
    """Return terms whose mean is sum(above) / sum(below), linear in it (the delta method)."""
    ratio = np.sum(above) / np.sum(below)
    return np.asarray(ratio + (above - ratio * below) / np.mean(below), dtype=np.float64)


def _of_answers(answers: Floats, *, trained_on: int | None) -> Estimate:
    known = answers[~np.isnan(answers)]
    if not len(known):
        return Estimate(
            verdict=Verdict.NONE,
            explanation="it asks several arms; no query has a label and the answers of all",
        )
    ones = np.ones(len(known))
    value = within(mean_with_interval(known, weights=ones))
    verdict, explanation = _verdict(value, effective=float(len(known)), weights=ones)
    return Estimate(
        verdict=verdict,
        explanation=explanation,
        method=Method.DIRECT,
        best=value,
        ips=value,
        self_normalised=value,
        doubly_robust=value,
        rows=len(known),
        effective_rows=float(len(known)),
        largest_weight=1.0,
        mean_weight=1.0,
        without_overlap=1.0 - len(known) / len(answers),
        trained_on=trained_on,
        terms=answers,
        row_weights=np.ones(len(answers)),
        pace=np.ones(len(answers)),
    )


def gain(target: Estimate, *, earned: Floats) -> Value | None:
    """Return by how much a target would have earned more than what was `earned` (n), row by row.

    None where no row tells of both. Luck that both share cancels out.
    """
    if target.terms is None or target.row_weights is None or target.pace is None:
        return None
    both = ~(np.isnan(target.terms) | np.isnan(earned))
    steps = target.pace[both]
    weights = steps * target.row_weights[both]
    if not np.any(weights):
        return None
    value = mean_with_interval(_paced(target.terms[both] - earned[both], steps), weights=weights)
    return within(value, low=-1.0)


def _bounded(value: Value, *, unknown: float) -> Value:
    known = within(value)
    if unknown <= 0.0:
        return known
    low, high = known.low * (1.0 - unknown), known.high * (1.0 - unknown) + unknown
    return Value(known.reward, low, high)


def _verdict(value: Value, *, effective: float, weights: Floats) -> tuple[Verdict, str]:
    points = 100.0 * (value.high - value.low)
    rests = f"as good as {effective:,.0f} answers of its own"
    if effective < ENOUGH_ROWS:
        return Verdict.LITTLE, f"it rests on few answers: {rests}"
    error = float(np.std(weights)) / len(weights) ** 0.5
    off = abs(float(np.mean(weights)) - 1.0)
    if off > max(WEIGHTS_OFF, WEIGHTS_OFF_ERRORS * error):
        mean = float(np.mean(weights))
        return (
            Verdict.LITTLE,
            f"weights average {mean:.2f} where 1 is expected: not all had a chance",
        )
    if value.high - value.low > ENOUGH_WIDTH:
        return Verdict.LITTLE, f"the interval is {points:.0f} points wide: {rests}"
    return Verdict.ENOUGH, rests


def _why_none(log: Log, chances: Floats, usable: Flags) -> str:
    missed = np.mean(np.where(log.possible, 0.0, chances), axis=0)
    # An arm may have had its chance and yet never been asked.
    never = np.mean(np.where(np.any(log.asked, axis=0), 0.0, chances), axis=0)
    k = int(np.argmax(np.maximum(missed, never)))
    arm = log.arms[k]
    if never[k] >= missed[k]:
        return f"{arm} was never asked here"
    share = float(np.mean(~usable)) or 1.0
    return f"{arm}, which it asks, had no chance in {share:.0%} of the queries"
