"""Logs as policies leave them, made of arms whose true rewards are known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from selection.evaluation.logged import AnswerRule, LoggedArm, LoggedQuery
from selection.evaluation.offpolicy.log import Log, log_of
from selection.evaluation.offpolicy.policy_replay import Candidate
from selection.policies import make_policy
from selection.policies.arithmetic.sums import State, learn
from selection.rewards.losses import make_loss
from selection.store.state_record import prepared

RIGHT, WRONG, LABEL = b"1", b"0", b"1"
ANSWERING = AnswerRule(loss=make_loss())


def answered(arm: str, *, reward: float, propensity: float = 1.0) -> LoggedArm:
    """An arm that was asked and was right (1) or wrong (0), or in between."""
    output = RIGHT if reward >= 0.5 else WRONG
    return LoggedArm(arm, propensity, output, 1.0 - reward, reward)


def asked(
    rewards: Mapping[str, float],
    *,
    propensity: float = 1.0,
    routed: Sequence[str] = (),
    **fields: Any,
) -> LoggedQuery:
    """One query by arms asked and what they earned, each with the same chance."""
    arms = tuple(answered(a, reward=r, propensity=propensity) for a, r in rewards.items())
    return LoggedQuery(asked=arms, label=LABEL, routed=tuple(routed) or tuple(rewards), **fields)


def candidate(
    policy: str, *, arms: Sequence[str] | Mapping[str, float], **params: Any
) -> Candidate:
    weights = arms if isinstance(arms, Mapping) else dict.fromkeys(arms, 1.0)
    return Candidate(policy=make_policy(policy, params), arms=weights, rule=ANSWERING)


def logged_by(
    policy: str,
    *,
    accuracies: Mapping[str, float],
    queries: int,
    seed: int,
    weights: Mapping[str, float] | None = None,
    **params: Any,
) -> Log:
    """Let a policy answer queries and learn from them, as in production; return its log."""
    rng = np.random.default_rng(seed)
    arms = weights or dict.fromkeys(accuracies, 1.0)
    acting, state = make_policy(policy, params), State()
    rows = []
    for right, uniform in zip(
        rng.random((queries, len(arms))) < list(accuracies.values()),
        rng.random(queries),
        strict=True,
    ):
        rewards = dict(zip(accuracies, right.astype(float).tolist(), strict=True))
        drawn = prepared(acting, state, arms).select(float(uniform))
        rows.append(
            LoggedQuery(
                asked=tuple(
                    answered(arm, reward=rewards[arm], propensity=chance)
                    for arm, chance in zip(drawn.arms, drawn.propensities, strict=True)
                ),
                label=LABEL,
                routed=tuple(arms),
            )
        )
        if acting.learns:
            update = acting.update(
                arms=arms,
                losses={arm: 1.0 - rewards[arm] for arm in drawn.arms},
                propensities=dict(zip(drawn.arms, drawn.propensities, strict=True)),
            )
            state = learn(state, update)
    return log_of(rows, arms=list(arms))
