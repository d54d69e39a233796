"""What a stretch of feedback says of an application and each of its arms, as sums that add up.

A stretch may be ten seconds or a month: the sums of a longer one are those of its parts added, so
nothing is lost when old snapshots are merged. `estimates` beside it reads them.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from operator import add
from typing import Any, NamedTuple

from selection.evaluation.logged import AnswerRule, LoggedQuery
from selection.policies.policy import LOWEST_PROPENSITY


class RewardSums(NamedTuple):
    """What the application's answers earned: pieces of feedback, sum of rewards and of squares."""

    rounds: float = 0.0
    total: float = 0.0
    squares: float = 0.0


class ArmSums(NamedTuple):
    """Of one arm, over the feedback in which it took part (`rounds`).

    `earned` and `earned_squares` tell what the application's answers earned in these rounds, and
    `seen` and `reward` how often the arm's own reward is known, and their plain sum. In all others
    a reward r counts by a = 1 / the arm's chance to be asked, and e is what was earned.
    """

    rounds: float = 0.0
    earned: float = 0.0
    earned_squares: float = 0.0
    seen: float = 0.0
    reward: float = 0.0
    a: float = 0.0
    ar: float = 0.0
    ae: float = 0.0
    are: float = 0.0
    aa: float = 0.0
    aar: float = 0.0
    aarr: float = 0.0


def of_round(*, earned: float, reward: float | None, propensity: float) -> ArmSums:
    """Return one piece of feedback as sums; `reward` None: the arm took part but wasn't asked."""
    if reward is None:
        return ArmSums(1.0, earned, earned**2)
    a = 1.0 / max(propensity, LOWEST_PROPENSITY)
    ar = a * reward
    return ArmSums(
        *(1.0, earned, earned**2, 1.0, reward),
        *(a, ar, a * earned, ar * earned, a * a, a * ar, ar * ar),
    )


def added_earned(parts: Iterable[Sequence[float]]) -> RewardSums:
    """Return the sums of several stretches; those of each may be as they are kept, a list."""
    total: Sequence[float] = RewardSums()
    for part in parts:
        total = list(map(add, total, part))
    return RewardSums(*total)


def added(parts: Iterable[Mapping[str, Sequence[float]]]) -> dict[str, ArmSums]:
    """Return the sums of several stretches, by arm; likewise."""
    total: dict[str, Sequence[float]] = {}
    for part in parts:
        for arm, sums in part.items():
            known = total.get(arm)
            total[arm] = sums if known is None else list(map(add, known, sums))
    return {arm: ArmSums(*sums) for arm, sums in total.items()}


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """From `since` (ISO 8601) on: what was earned, and the sums of each arm since it joined.

    `recommendation` is what the state of the global context came to, as `describe` says it.
    """

    since: str
    earned: RewardSums = field(default_factory=RewardSums)
    arms: Mapping[str, ArmSums] = field(default_factory=dict)
    recommendation: Mapping[str, Any] | None = None

    def followed_by(
        self,
        earned: RewardSums,
        arms: Mapping[str, Sequence[float]],
        *,
        routed: Container[str],
        recommendation: Mapping[str, Any] | None,
    ) -> Standing:
        """Return it a stretch later; arms that neither are routed nor got feedback are dropped."""
        known = {arm: sums for arm, sums in self.arms.items() if arm in routed or arm in arms}
        return Standing(
            since=self.since,
            earned=added_earned((self.earned, earned)),
            arms=added((known, arms)),
            recommendation=recommendation,
        )

    def as_json(self) -> dict[str, Any]:
        return {
            "since": self.since,
            "earned": self.earned,
            "arms": dict(self.arms),
            "recommendation": self.recommendation,
        }


def standing_of(kept: Mapping[str, Any]) -> Standing | None:
    """Read what `as_json` wrote; None of a snapshot from before there was any."""
    if not kept:
        return None
    return Standing(
        since=kept["since"],
        earned=RewardSums(*kept["earned"]),
        arms={arm: ArmSums(*sums) for arm, sums in kept["arms"].items()},
        recommendation=kept.get("recommendation"),
    )
