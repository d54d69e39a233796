"""Proof that an arm is the best: the same for every policy, at any time."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from selection.inference import ALPHA, Interval, Rewards, confidence_in, mean
from selection.policies.arithmetic.sums import Statistics, Vector
from selection.policies.policy import Proof

Proved = Literal["undecided", "best", "reopened"]
STATES: tuple[str, ...] = get_args(Proved)


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


def rewards_of(vector: Vector) -> Rewards:
    """Return the rewards that evidence was made of."""
    return Rewards(vector[0], vector[1])


def leader(rewards: Sequence[Rewards]) -> int:
    """Return the place of the highest mean; of arms that tie that of the one seen most."""
    return max(
        range(len(rewards)),
        key=lambda place: (
            (rewards[place].total + 0.5) / (rewards[place].number + 1.0),
            rewards[place].number,
        ),
    )


def recommend(
    evidence: Statistics, *, proof: Proof, together: bool = False
) -> Recommendation | None:
    """Return what the evidence of all arms comes to; None where there is no choice."""
    if len(evidence) < 2:
        return None
    arms, rewards = tuple(evidence), [rewards_of(vector) for vector in evidence.values()]
    best = leader(rewards)
    confidence = confidence_in(
        rewards, best=best, margin=proof.margin, worth=0.5 if together else 1.0
    )
    changed = any(vector[4] > 0.0 for vector in evidence.values())
    return Recommendation(
        arm=arms[best],
        state="best" if confidence >= 1.0 - proof.delta else "reopened" if changed else "undecided",
        confidence=confidence,
        since_ms=int(max(vector[5] for vector in evidence.values())),
        labels=round(sum(one.number for one in rewards)),
    )


def reward_intervals(evidence: Statistics) -> dict[str, Interval]:
    """Return the mean reward of each arm that any is known of, all at once 95 % sure."""
    found = {
        arm: mean(rewards_of(vector), alpha=ALPHA / len(evidence))
        for arm, vector in evidence.items()
    }
    return {arm: interval for arm, interval in found.items() if interval is not None}
