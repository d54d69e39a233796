"""The doubly robust estimate of what a target would have earned, with its interval.

With n rows, the target's chance pi(a) of asking arm a, the chance p(a) it had when the query was
logged, w(a) = pi(a) / p(a) for the arms asked (0 for the others), and the expected reward q(a) of
`reward_model`, it is V = 1/n sum [pi q + w (r - q)] (Dudik, Langford and Li 2011). If every arm was
asked for certain, p = 1 and the rewards are simply seen: the direct method, which is exact then.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from selection.evaluation.offpolicy.evidence import Evidence
from selection.evaluation.offpolicy.intervals import Precision, Verdict
from selection.evaluation.offpolicy.log import Flags, Floats, Indices
from selection.inference import ALPHA, LEAST, Interval, Seen, mean_of

# A target of which no more than this is unknown is judged by the rest.
MOST_UNCOVERED = 0.1


class Method(StrEnum):
    """The method of an estimate."""

    DIRECT = "direct"
    DOUBLY_ROBUST = "doubly_robust"


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """The choices of a target for each query of a log: `chances` (n x K) of asking each arm.

    A target that asks several has `answers` (n): rewards of its combined outputs, nan if unknown.
    `trained_on` rows it learned from, each of which stands for `pace` (n) steps; `wander` is the
    variance of what it earns from one time that it learns to the next.
    """

    chances: Floats
    answers: Floats | None = None
    trained_on: int | None = None
    pace: Floats | None = None
    wander: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """The reward that a target would have earned, sum(terms) / sum(shares), and its basis.

    `weights` are those of the rewards in the `terms`, None where they are the `shares`.
    """

    verdict: Verdict
    explanation: str
    method: Method | None = None
    best: Interval | None = None
    rows: int = 0
    effective_rows: float = 0.0
    largest_weight: float = 0.0
    mean_weight: float = 0.0
    without_overlap: float = 1.0
    trained_on: int | None = None
    precision: Precision | None = None
    terms: Floats | None = None
    shares: Floats | None = None
    weights: Floats | None = None


def estimate(evidence: Evidence, proposal: Proposal) -> Estimate:
    """Return what a log says of the target."""
    log = evidence.log
    if not len(log):
        return _nothing("no feedback to tell from")
    if proposal.answers is not None:
        return _of_answers(log.people, proposal.answers, trained_on=proposal.trained_on)
    chances = np.broadcast_to(proposal.chances, log.asked.shape)
    there = np.sum(np.where(log.served, 0.0, chances), axis=1) <= MOST_UNCOVERED
    covered = np.where(evidence.chances > 0.0, chances, 0.0)
    if not np.any(there):
        return _nothing(_why_none(evidence, np.where(log.served, 0.0, chances)))
    unknown = 1.0 - float(np.mean(np.sum(covered[there], axis=1)))
    if unknown > MOST_UNCOVERED or not np.any(log.asked & (covered > 0.0) & there[:, None]):
        return _nothing(_why_none(evidence, np.where(there[:, None], chances - covered, 0.0)))
    return _Weighed(
        evidence, covered=covered, there=there, unknown=max(unknown, 0.0), proposal=proposal
    ).estimate()


def gain(
    target: Estimate, *, earned: Floats, people: Indices, alpha: float = ALPHA
) -> Interval | None:
    """Return by how much a target would have earned more than what was `earned` (n), row by row.

    The interval is a confidence sequence by person (n `people` numbers), as that of `selection`:
    it is ever beside the truth with a chance of `alpha`.
    """
    if target.terms is None or target.shares is None:
        return None
    assert target.precision is not None and target.best is not None  # noqa: S101, PT018 - they go together
    both = (target.shares > 0.0) & ~np.isnan(earned)
    if not np.any(both):
        return None
    total = float(np.sum(target.shares[both]))
    shares = target.shares[both] / total
    off = (target.terms[both] - target.shares[both] * earned[both]) / total
    value = float(np.sum(off))
    variance = float(np.sum(np.bincount(people[both], off - shares * value) ** 2))
    weights = (target.shares if target.weights is None else target.weights)[both] / total
    # The most that a row may move: nothing if both are one answer, or were right or wrong alike.
    moves = np.where(off == 0.0, np.abs(weights - shares), np.maximum(weights, shares))
    loads = np.bincount(people[both], moves)
    most = float(np.sum(loads**2))
    # So many people of equal load for each of two arms tell as much (Kish 1965).
    number = 0.5 * float(np.sum(loads)) ** 2 / most if most > 1e-18 else float(len(off))
    if number < LEAST:
        # The variance of so few isn't known; it is a quarter of what they move at most.
        variance = max(variance, 0.25 * most)
    half = target.precision.half_of_gain(target.best, seen=variance, people=number, alpha=alpha)
    low, high = value - half, value + half
    return Interval(*(min(max(x, -1.0), 1.0) for x in (value, low, high)))


class _Weighed:
    """A target's rows by weight, of those `there`; `covered` are its chances of what is known."""

    def __init__(
        self,
        evidence: Evidence,
        *,
        covered: Floats,
        there: Flags,
        unknown: float,
        proposal: Proposal,
    ) -> None:
        self._evidence, self._proposal = evidence, proposal
        self._there, self._unknown = there, unknown
        log = evidence.log
        self._chances = covered[there]
        self._asked, self._rewards = log.asked[there], log.rewards[there]
        self._weights = np.where(self._asked, self._chances / log.propensities[there], 0.0)
        self._mass = np.sum(self._chances, axis=1)
        pace = np.ones(len(log)) if proposal.pace is None else proposal.pace
        self._steps = pace[there]
        self._total = float(np.sum(self._steps * self._mass))
        # The load of an answer of each arm, also if the arm wasn't asked.
        plausible = np.where(self._chances > 0.0, evidence.chances[there], 1.0)
        self._share = (self._steps / self._total)[:, None]
        self._load = self._share * self._chances / plausible
        # If all arms were asked, they may have been right or wrong together.
        apart = np.where(log.drawn[there][:, None], self._load, self._share * self._mass[:, None])
        self._spread = self._share * self._chances * apart
        self._inflation = evidence.inflation[there][:, None]
        self._certain = self._share**2 * self._chances * self._mass[:, None] * self._inflation
        # Rewards of one person are alike whichever arms they are asked.
        own = self._share[:, 0] * self._mass
        pairs = np.sum(np.bincount(log.people[there], own) ** 2) - np.sum(own**2)
        self._people = evidence.alike * float(pairs)

    def estimate(self) -> Estimate:
        evidence, direct = self._evidence, bool(np.allclose(self._weights, self._chances))
        model = evidence.expected[self._there]
        if direct:
            model = np.broadcast_to(evidence.settled, self._chances.shape)
        # No model takes part in rewards that were seen, not by a rounding error either.
        seen = self._steps * np.sum(self._weights * self._rewards, axis=1)
        terms = seen if direct else self._terms(model)
        best, precision = self._value(model)
        effective = 1.0 / (float(np.sum(self._spread * self._inflation)) + self._people)
        verdict, explanation = self._verdict(precision, effective=effective)
        whole, shares, weights = np.zeros((3, len(evidence.log)))
        whole[self._there], shares[self._there] = terms, self._steps * self._mass
        weights[self._there] = self._steps * np.sum(self._weights, axis=1)
        return Estimate(
            verdict=verdict,
            explanation=explanation,
            method=Method.DIRECT if direct else Method.DOUBLY_ROBUST,
            best=best,
            rows=int(np.sum(self._there)),
            effective_rows=effective,
            largest_weight=float(np.max(self._weights)),
            mean_weight=float(np.sum(self._weights) / np.sum(self._mass)),
            without_overlap=1.0 - float(np.mean(self._there)),
            trained_on=self._proposal.trained_on,
            precision=precision,
            terms=whole,
            shares=shares,
            weights=weights,
        )

    def _terms(self, model: Floats) -> Floats:
        parts = self._chances * model + self._weights * (self._rewards - model)
        return np.asarray(self._steps * np.sum(parts, axis=1))

    def _value(self, model: Floats) -> tuple[Interval, Precision]:
        evidence = self._evidence
        reward = float(np.sum(self._terms(model))) / self._total
        spread, load = self._spread * self._inflation, self._load * self._inflation
        # An error of the model is the same in all rows of a context.
        together = self._spread * evidence.kin[self._there][:, None]
        varies = np.sum(self._share * self._chances, axis=0) @ evidence.dispersion * self._people
        precision = Precision(
            dispersion=float(np.sum(spread * evidence.dispersion) + varies),
            certain=float(np.sum(self._certain * evidence.dispersion) + varies),
            model_error=float(np.sum(together * (model - evidence.settled) ** 2))
            + self._proposal.wander,
            rise=float(np.max(load * (1.0 - model))),
            fall=float(np.max(load * model)),
            unknown=self._unknown,
        )
        return precision.around(reward), precision

    def _verdict(self, precision: Precision, *, effective: float) -> tuple[Verdict, str]:
        rests = f"as good as {effective:,.0f} answers of its own"
        absent = 1.0 - float(np.mean(self._there))
        if absent > MOST_UNCOVERED:
            chances = np.sum(np.atleast_2d(self._proposal.chances), axis=0)
            arm = self._evidence.log.arms[int(np.argmax(chances))]
            return Verdict.APART, f"{arm} was in service for {1.0 - absent:.0%} of the queries"
        # Fewer rows, or an interval that could be wider than 0.1, are too little to decide by.
        if effective < 100.0:
            return Verdict.LITTLE, f"it rests on few answers: {rests}"
        weights = np.sum(self._weights, axis=1) / np.mean(self._mass)
        error = float(np.std(weights) * np.sqrt(np.mean(self._inflation) / len(weights)))
        mean = float(np.mean(weights))
        # Weights should average 1; further off, some chance was not as logged.
        if abs(mean - 1.0) > max(0.05, 4.0 * error):
            return (
                Verdict.LITTLE,
                f"weights average {mean:.2f} where 1 is expected: not all had a chance",
            )
        if precision.widest > 0.1:
            points = 100.0 * precision.widest
            return Verdict.LITTLE, f"the interval may be {points:.0f} points wide: {rests}"
        return Verdict.ENOUGH, rests


def _nothing(explanation: str) -> Estimate:
    return Estimate(verdict=Verdict.NONE, explanation=explanation)


def seen_of(rewards: Floats, *, people: Indices) -> Seen:
    """Return the mean of rewards that were simply seen, by person (n numbers of people)."""
    n, s = np.bincount(people), np.bincount(people, rewards)
    count = float(len(rewards))
    return Seen.of(count, float(sum(s)), float(n @ n), float(n @ s), float(s @ s), count)


def _of_answers(people: Indices, answers: Floats, *, trained_on: int | None) -> Estimate:
    known = ~np.isnan(answers)
    seen = seen_of(answers[known], people=people[known])
    value, n = mean_of(seen), int(np.sum(known))
    if value is None:
        return _nothing("it asks several arms; no query has a label and the answers of all")
    absent, effective = 1.0 - n / len(answers), min(seen.worth, n)
    verdict, explanation = Verdict.ENOUGH, f"as good as {effective:,.0f} answers of its own"
    if absent > MOST_UNCOVERED:
        verdict, explanation = Verdict.APART, f"{absent:.0%} of the feedback says nothing of it"
    elif effective < 100.0 or value.high - value.low > 0.1:
        verdict, explanation = Verdict.LITTLE, f"it rests on few answers: {explanation}"
    return Estimate(
        verdict=verdict,
        explanation=explanation,
        method=Method.DIRECT,
        best=value,
        rows=n,
        effective_rows=effective,
        largest_weight=1.0,
        mean_weight=1.0,
        without_overlap=absent,
        trained_on=trained_on,
        precision=Precision(),
        terms=np.where(known, answers, 0.0),
        shares=known.astype(np.float64),
    )


def _why_none(evidence: Evidence, missing: Floats) -> str:
    k = int(np.argmax(np.sum(missing, axis=0)))
    arm = evidence.log.arms[k]
    if not np.any(evidence.log.asked[:, k]):
        return f"{arm} was never asked here"
    share = float(np.mean(missing[:, k] > 0.0))
    return f"{arm}, which it asks, had no chance in {share:.0%} of the queries"
