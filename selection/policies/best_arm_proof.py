"""Proof that an arm is the best: the same for every policy, at any time, by person."""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from selection.inference import ALPHA, LEAST, Interval, Seen, evidence_of, mean_of
from selection.policies.arithmetic.person_sums import (
    BOTH_WIDTH,
    both_without_past,
    slope_of,
    without_past,
)
from selection.policies.arithmetic.sums import (
    BOTH,
    EVIDENCE,
    PEOPLE,
    State,
    Statistics,
    Vector,
    join_all,
)
from selection.policies.policy import Proof

Proved = Literal["undecided", "best", "reopened"]
STATES: tuple[str, ...] = get_args(Proved)
# The sums that a proof is made of, one kind's behind the other's.
PROOF = (EVIDENCE, PEOPLE, BOTH)
_SEEN = EVIDENCE.width
_BOTH = _SEEN + PEOPLE.width


class Recommendation(NamedTuple):
    """The arm that leads, how sure that is, the `labels` it rests on, and since when they count.

    `best`: its confidence is at least what was wanted. `reopened`: it isn't, and some arm was found
    to have changed, so that what was known of it is forgotten.
    """

    arm: str
    state: Proved
    confidence: float
    since_ms: int
    labels: int


def proof_of(state: State, arms: Sequence[str]) -> Statistics:
    """Return the sums of `PROOF` of each arm."""
    return join_all(state, arms, statistics=PROOF, warm_start=0.0)


def seen_of(vector: Vector) -> Seen:
    """Return what was seen of an arm."""
    return Seen.of(*vector[_SEEN : _SEEN + 6])


def judge(known: Statistics, *, margin: float = 0.0) -> tuple[int, float]:
    """Return the place of the arm that leads, and how sure it is that none is better by `margin`.

    1 - (the others) * exp(-the weakest evidence against any): if another arm is better, this ever
    exceeds 1 - delta with a chance of delta at most. After the j-th change of an arm the proof
    begins anew, and may be wrong by 6 / (pi j)^2 of delta: by delta after all changes together.
    """
    vectors = tuple(known.values())
    seen = [seen_of(vector) for vector in vectors]
    slope = 0.0
    # Of fewer people it would be guessed, and they count as draws.
    if any(vector[_BOTH - 2] for vector in vectors) and min(arm.people for arm in seen) >= LEAST:
        slope = slope_of(vector[_SEEN:_BOTH] for vector in vectors)
        seen = [Seen.of(*without_past(vector[_SEEN:_BOTH], slope=slope)) for vector in vectors]
    # The highest mean; of arms that tie that of most people.
    best = max(
        range(len(seen)),
        key=lambda k: (
            (seen[k].people * seen[k].mean + 0.5) / (seen[k].people + 1.0),
            seen[k].people,
        ),
    )
    common = vectors[best][_BOTH:]
    weakest = min(
        evidence_of(
            seen[best],
            other,
            both=both_without_past(common[BOTH_WIDTH * k : BOTH_WIDTH * (k + 1)], slope=slope),
            margin=margin,
        )
        if k != best
        else math.inf
        for k, other in enumerate(seen)
    )
    changes = max(vector[4] for vector in vectors)
    spent = 6.0 / (math.pi * max(changes, 1.0)) ** 2 if changes > 0.0 else 1.0
    return best, max(1.0 - (len(seen) - 1) * math.exp(-weakest) / spent, 0.0)


def recommend(known: Statistics, *, proof: Proof) -> Recommendation | None:
    """Return what the sums of `PROOF` of all arms come to; None where there is no choice."""
    if len(known) < 2:
        return None
    best, confidence = judge(known, margin=proof.margin)
    changed = any(vector[4] > 0.0 for vector in known.values())
    return Recommendation(
        arm=tuple(known)[best],
        state="best" if confidence >= 1.0 - proof.delta else "reopened" if changed else "undecided",
        confidence=confidence,
        since_ms=int(max(vector[5] for vector in known.values())),
        labels=round(sum(vector[_SEEN + 5] for vector in known.values())),
    )


def reward_intervals(known: Statistics) -> dict[str, Interval]:
    """Return the mean reward of each arm that any is known of, all at once 95 % sure."""
    return {
        arm: interval
        for arm, vector in known.items()
        if (interval := mean_of(seen_of(vector), alpha=ALPHA / len(known))) is not None
    }
