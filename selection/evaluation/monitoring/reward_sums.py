"""Rewards of an application's answers and of each arm, as sums that add up over stretches."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from selection.evaluation.logged import AnswerRule, LoggedQuery


class RewardSums(NamedTuple):
    """The number of rewards, and their sum."""

    number: float = 0.0
    total: float = 0.0

    @property
    def mean(self) -> float | None:
        return self.total / self.number if self.number else None


def add(parts: Iterable[Sequence[float]]) -> RewardSums:
    """Return the sums of several stretches, each of which may be a list, as it is stored."""
    number = total = 0.0
    for part in parts:
        number, total = number + part[0], total + part[1]
    return RewardSums(number, total)


def add_by_arm(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, RewardSums]:
    """Return the sums of several stretches, by arm."""
    found: dict[str, RewardSums] = {}
    for part in parts:
        for arm, sums in part.items():
            found[arm] = add((found.get(arm, RewardSums()), sums))
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """An application's trust in each arm, and the chances of each, before a stretch of feedback."""

    weights: Mapping[str, float]
    probabilities: Mapping[str, float]

    @property
    def is_ensemble(self) -> bool:
        """True if a query asks several arms: chances to ask one sum to 1."""
        return sum(self.probabilities.values()) > 1.0 + 1e-6


def tally(
    feedback: Iterable[LoggedQuery], *, trust: Trust, rule: AnswerRule
) -> tuple[RewardSums, dict[str, RewardSums]]:
    """Return what a stretch of feedback earned, and the rewards of each arm."""
    earned, by_arm = RewardSums(), dict[str, RewardSums]()
    for query in feedback:
        earned = add((earned, (1.0, earned_by(query, trust=trust, rule=rule))))
        for entry in query.asked:
            if entry.loss is not None:
                by_arm[entry.arm] = add((by_arm.get(entry.arm, RewardSums()), (1.0, entry.reward)))
    return earned, by_arm


def earned_by(query: LoggedQuery, *, trust: Trust, rule: AnswerRule) -> float:
    """Return the reward of what was answered, be it the default output.

    Several arms asked: that of their combined answer by trust, or without a label the mean of their
    rewards by trust (Freund & Schapire 1997). A labelled input under a policy that asks one arm:
    the mean by the arms' chances to be asked.
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
