"""Rows of the feedback table as logged queries, judged as their application judges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from selection.evaluation.answer_rule import AnswerRule
from selection.evaluation.logged import LoggedArm, LoggedQuery
from selection.kinds import INPUT

# Of a row, what `logged` reads.
COLUMNS = ("arms", "label", "reward", "context", "key", "routed", "features", "kind")
# A chance that was logged as less than this counts as this: no row may weigh without bound.
LEAST_PROPENSITY = 1e-6


class Outputs:
    """The distinct outputs seen, as bytes, and what they take."""

    def __init__(self) -> None:
        self.size = 0
        self._known: dict[str, bytes] = {}

    def of(self, text: str | None) -> bytes | None:
        if text is None:
            return None
        known = self._known.get(text)
        if known is None:
            known = self._known[text] = text.encode()
            self.size += len(known)
        return known


def logged(row: Mapping[str, Any], *, outputs: Outputs, rule: AnswerRule) -> LoggedQuery | None:
    """Return a row as a query; None where nothing is known of any arm."""
    label = row["label"].encode() if row["label"] else None
    asked = tuple(
        LoggedArm(
            arm["arm"],
            max(arm["propensity"], LEAST_PROPENSITY),
            output := outputs.of(arm["output"]),
            loss := arm["loss"],
            _reward(loss, output=output, label=label, rule=rule),
        )
        for arm in row["arms"]
    )
    if not any(arm.loss is not None for arm in asked):
        return None
    return LoggedQuery(
        asked=asked,
        label=label,
        reward=_net(row["reward"], arms=row["arms"]),
        context=row["context"],
        key=row["key"],
        routed=tuple(row["routed"]),
        features=tuple(row["features"]),
        given=row["kind"] != INPUT,
    )


def _net(reward: float | None, *, arms: Sequence[Mapping[str, Any]]) -> float | None:
    """Return what the answer as a whole earned, less what asking for it took."""
    if reward is None:
        return None
    lateness: float = max((arm.get("lateness", 0.0) for arm in arms), default=0.0)
    cost: float = sum(arm.get("cost", 0.0) for arm in arms)
    return max(reward - lateness - cost, 0.0)


def _reward(
    loss: float | None, *, output: bytes | None, label: bytes | None, rule: AnswerRule
) -> float:
    """Return what asking an arm earned: where it didn't answer, what is given instead of it."""
    if loss is not None:
        return 1.0 - loss
    default = rule.default_output
    if output is None and default is not None and label is not None:
        return rule.judged(default, label=label) or 0.0
    return 0.0
