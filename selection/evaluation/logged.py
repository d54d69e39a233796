"""Kept feedback as it is evaluated: whom a query asked, by what chance, and what that earned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from core.errors import InvalidInput
from core.specs import ApplicationSpec
from selection.answers.combine import VOTE, Objection, decide
from selection.kinds import INPUT
from selection.policies.arithmetic.answer_sums import Promise
from selection.policies.policy import Prepared
from selection.rewards.losses import Loss, loss_of
from selection.store.state_record import promise_of


class LoggedArm(NamedTuple):
    """An arm that was asked: its chance, its answer and loss (None if late), what it earned."""

    arm: str
    propensity: float
    output: bytes | None
    loss: float | None
    reward: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedQuery:
    """One piece of feedback.

    `given`: the answer went to somebody; a labelled input only asked the arms. `reward` is that of
    the answer as a whole, if people gave one instead of a label, or it was the default output.
    """

    asked: tuple[LoggedArm, ...]
    label: bytes | None = None
    reward: float | None = None
    context: str = ""
    key: str = ""
    routed: tuple[str, ...] = ()
    features: tuple[float, ...] = ()
    given: bool = True

    @property
    def certain(self) -> bool:
        """True if each arm asked was asked for certain."""
        return len(self.asked) > 1 or self.asked[0].propensity >= 1.0

    @property
    def defaulted(self) -> bool:
        """True if a label judges the default output, which was given instead of an arm's answer."""
        return self.label is not None and self.reward is not None

    @property
    def judges_arms(self) -> bool:
        """True if it tells the loss of an arm."""
        return any(arm.loss is not None for arm in self.asked)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """The rule by which an application combines and judges answers; outputs are JSON text."""

    loss: Loss
    how: str = VOTE
    threshold: float = 0.0
    default_output: bytes | None = None
    promise: Promise | None = None

    def reward(
        self,
        query: LoggedQuery,
        *,
        asked: Sequence[str],
        weights: Mapping[str, float],
        prepared: Prepared | None = None,
    ) -> float | None:
        """Return what asking these arms would have earned; None where the log can't tell."""
        logged = {entry.arm: entry for entry in query.asked}
        if query.label is None or not all(arm in logged for arm in asked):
            return None
        first = logged[asked[0]]
        sure = self.threshold <= 0.0 and self.promise is None
        agreed = self.how == VOTE and all(logged[arm].output is first.output for arm in asked)
        if agreed and first.output is not None and (sure or prepared is None):
            return first.reward  # most answers are of one mind
        outputs = {arm: output for arm in asked if (output := logged[arm].output) is not None}
        decided = decide(
            outputs,
            weights=weights,
            asked=asked,
            how=self.how,
            threshold=self.threshold,
            default=self.default_output,
            prepared=prepared,
        )
        answer = self.default_output if isinstance(decided, Objection) else decided.output
        if answer is None:
            return 0.0
        for arm, output in outputs.items():
            if output is answer:  # judged already
                return logged[arm].reward
        return self.judged(answer, label=query.label)

    def reward_of_default(self, label: bytes) -> float:
        """Return the reward of today's default output: that of the query's time isn't kept."""
        default = self.default_output
        return 0.0 if default is None else self.judged(default, label=label) or 0.0

    def judged(self, answer: bytes, *, label: bytes) -> float | None:
        """Return the reward of an answer; None where the label is none that this loss can use."""
        try:
            return 1.0 - self.loss(label, answer)
        except InvalidInput:
            return None


def answer_rule_of(application: ApplicationSpec) -> AnswerRule:
    """Return how an application makes and judges its answers."""
    return AnswerRule(
        loss=loss_of(application),
        how=application.combine,
        threshold=application.confidence_threshold,
        default_output=application.default_output,
        promise=promise_of(application),
    )


# The columns of a row that `logged` reads.
COLUMNS = (
    *("arms", "label", "reward", "context", "key", "routed", "features", "kind", "defaulted"),
)


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
    """Return a row as a query; None where nothing is known of any arm or of what was given."""
    label = row["label"].encode() if row["label"] else None
    # A chance that was logged as less than this counts as this: no row may weigh without bound.
    asked = tuple(
        LoggedArm(
            arm["arm"],
            max(arm["propensity"], 1e-6),
            output := outputs.of(arm["output"]),
            loss := arm["loss"],
            _reward(loss, output=output, label=label, rule=rule),
        )
        for arm in row["arms"]
    )
    reward = row["reward"]
    if row["defaulted"] and label is not None:
        reward = rule.reward_of_default(label)
    if reward is not None:
        # What asking for the answer as a whole took goes off it.
        lateness: float = max((arm.get("lateness", 0.0) for arm in row["arms"]), default=0.0)
        cost: float = sum(arm.get("cost", 0.0) for arm in row["arms"])
        reward = max(reward - lateness - cost, 0.0)
    query = LoggedQuery(
        asked=asked,
        label=label,
        reward=reward,
        context=row["context"],
        key=row["key"],
        routed=tuple(row["routed"]),
        features=tuple(row["features"]),
        given=row["kind"] != INPUT,
    )
    return query if query.judges_arms or row["defaulted"] else None


def _reward(
    loss: float | None, *, output: bytes | None, label: bytes | None, rule: AnswerRule
) -> float:
    """Return what asking an arm earned: where it didn't answer, what is given instead of it."""
    if loss is not None:
        return 1.0 - loss
    return rule.reward_of_default(label) if output is None and label is not None else 0.0
