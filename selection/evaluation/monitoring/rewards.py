"""What the answers of an application earned, piece of feedback by piece."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from selection.evaluation.answer_rule import AnswerRule
from selection.evaluation.logged import LoggedQuery
from selection.evaluation.monitoring.aggregates import (
    ArmSums,
    RewardSums,
    added,
    added_earned,
    of_round,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How far an application trusted each arm before a stretch of feedback, and asked each."""

    weights: Mapping[str, float]
    probabilities: Mapping[str, float]

    @property
    def is_ensemble(self) -> bool:
        """Whether a query asked more than one arm: the chances of one sum to 1."""
        return sum(self.probabilities.values()) > 1.0 + 1e-6


def tallied(
    feedback: Iterable[LoggedQuery], *, trust: Trust, rule: AnswerRule
) -> tuple[RewardSums, dict[str, ArmSums]]:
    """Return the sums of a stretch of feedback."""
    total = RewardSums()

    def rounds() -> Iterator[dict[str, ArmSums]]:
        nonlocal total
        for query in feedback:
            earned = earned_by(query, trust=trust, rule=rule)
            total = added_earned((total, RewardSums(1.0, earned, earned**2)))
            yield _round(query, earned=earned)

    by_arm = added(rounds())
    return total, by_arm


def _round(query: LoggedQuery, *, earned: float) -> dict[str, ArmSums]:
    known = {entry.arm: entry for entry in query.asked if entry.loss is not None}
    return {
        arm: of_round(
            earned=earned,
            reward=known[arm].reward if arm in known else None,
            propensity=query.chance_of(known[arm]) if arm in known else 0.0,
        )
        for arm in dict.fromkeys((*query.routed, *known))
    }


def earned_by(query: LoggedQuery, *, trust: Trust, rule: AnswerRule) -> float:
    """Return the reward of what was answered.

    One arm asked: its reward. Several: that of the answer that their outputs come to by trust, or
    where no label judges it, the mean of the arms' rewards by trust, which is what Hedge's bound
    speaks of (Freund & Schapire 1997). A labelled input under a policy that asks one arm: the
    mean by the arms' chances to be asked.
    """
    if query.reward is not None:
        return query.reward
    if len(query.asked) == 1:
        return query.asked[0].reward
    if not (query.given or trust.is_ensemble):
        return _mean(query, weights=trust.probabilities)
    arms = tuple(entry.arm for entry in query.asked)
    weights = trust.weights if any(map(trust.weights.get, arms)) else dict.fromkeys(arms, 1.0)
    judged = rule.reward(query, asked=arms, weights=weights)
    return _mean(query, weights=weights) if judged is None else judged


def _mean(query: LoggedQuery, *, weights: Mapping[str, float]) -> float:
    rewards = {entry.arm: entry.reward for entry in query.asked if entry.loss is not None}
    known = {arm: weights.get(arm, 0.0) for arm in rewards}
    total = sum(known.values())
    if total <= 0.0:
        return sum(rewards.values()) / len(rewards)
    return sum(known[arm] * reward for arm, reward in rewards.items()) / total
