"""What the answers of an application earned, piece of feedback by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from selection.combine import VOTE, combine
from selection.monitoring.sums import ArmSums, Earned, added, added_earned, of_round


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far an application trusted each arm before a stretch of feedback, and asked each."""

    weights: Mapping[str, float]
    probabilities: Mapping[str, float]
    combine: str

    @property
    def is_ensemble(self) -> bool:
        """Whether a query asked more than one arm: the chances of one sum to 1."""
        return sum(self.probabilities.values()) > 1.0 + 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """One piece of feedback: `arms` as {"arm", "propensity", "output", "loss"}; `routed` took part.

    `reward` is that of the answer as a whole; `on_query` False: a labelled input, where nothing
    was answered to anybody.
    """

    arms: Sequence[Mapping[str, Any]]
    routed: Sequence[str]
    reward: float | None
    on_query: bool


def tallied(feedback: Iterable[Told], *, trust: Trust) -> tuple[Earned, dict[str, ArmSums]]:
    """Return the sums of a stretch of feedback; what says nothing of any arm is left out."""
    total = Earned()

    def rounds() -> Iterator[dict[str, ArmSums]]:
        nonlocal total
        for told in feedback:
            earned = earned_by(told, trust=trust)
            if earned is not None:
                total = added_earned((total, Earned(1.0, earned, earned**2)))
                yield _round(told, earned=earned)

    by_arm = added(rounds())
    return total, by_arm


def _round(told: Told, *, earned: float) -> dict[str, ArmSums]:
    known = {str(one["arm"]): one for one in told.arms if one.get("loss") is not None}
    return {
        arm: of_round(
            earned=earned,
            reward=1.0 - known[arm]["loss"] if arm in known else None,
            propensity=float(known[arm].get("propensity") or 0.0) if arm in known else 0.0,
        )
        for arm in dict.fromkeys((*told.routed, *known))
    }


def earned_by(told: Told, *, trust: Trust) -> float | None:
    """Return the reward of what was answered, None where nothing is known of it.

    One arm asked: its reward. Several: that of the answer with the most trust behind it, or where
    outputs aren't voted on, the mean of the arms' rewards by trust, which is what Hedge's bound
    speaks of (Freund & Schapire 1997). A labelled input under a policy that asks one arm: the
    mean by the arms' chances to be asked.
    """
    if told.reward is not None:
        return told.reward
    rewards = {
        str(one["arm"]): 1.0 - float(one["loss"])
        for one in told.arms
        if one.get("loss") is not None
    }
    if len(told.arms) == 1 or not rewards:
        return next(iter(rewards.values()), None)
    if not (told.on_query or trust.is_ensemble):
        return _mean(rewards, weights=trust.probabilities)
    outputs = {
        str(one["arm"]): str(one["output"]).encode()
        for one in told.arms
        if one.get("output") is not None
    }
    if trust.combine == VOTE:
        for arm in _voted(outputs, weights=trust.weights):
            if arm in rewards:
                return rewards[arm]
    answered = {arm: reward for arm, reward in rewards.items() if arm in outputs}
    return _mean(answered or rewards, weights=trust.weights)


def _voted(outputs: Mapping[str, bytes], *, weights: Mapping[str, float]) -> list[str]:
    """Return the arms that answered what the vote came to, in its words."""
    if not outputs:
        return []
    known = {arm: weights.get(arm, 0.0) for arm in outputs}
    if not any(known.values()):
        known = dict.fromkeys(outputs, 1.0)
    chosen = combine(outputs, weights=known, asked=tuple(outputs), how=VOTE).output
    return [arm for arm, output in outputs.items() if output == chosen]


def _mean(rewards: Mapping[str, float], *, weights: Mapping[str, float]) -> float:
    known = {arm: weights.get(arm, 0.0) for arm in rewards}
    total = sum(known.values())
    if total <= 0.0:
        return sum(rewards.values()) / len(rewards)
    return sum(known[arm] * reward for arm, reward in rewards.items()) / total
