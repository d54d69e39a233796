"""What a logged query would have earned an application with other arms: its answer, judged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.errors import InvalidInput
from core.specs import ApplicationSpec
from selection.answers.combine import VOTE
from selection.answers.decide import Objection, decide
from selection.evaluation.logged import LoggedQuery
from selection.rewards.losses import Loss, loss_of


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerRule:
    """How an application makes one answer of several, and how that is judged.

    `default_output` is JSON text, given where nothing was answered or where the confidence is
    below the `threshold`; None where there is none.
    """

    loss: Loss
    how: str = VOTE
    threshold: float = 0.0
    default_output: bytes | None = None

    def reward(
        self, query: LoggedQuery, *, asked: Sequence[str], weights: Mapping[str, float]
    ) -> float | None:
        """Return what asking these arms would have earned; None where the log can't tell.

        That takes a label, and that each of the arms was asked. `weights` are the trust in each.
        """
        logged = {entry.arm: entry for entry in query.asked}
        if query.label is None or not all(arm in logged for arm in asked):
            return None
        first = logged[asked[0]]
        agreed = self.how == VOTE and all(logged[arm].output is first.output for arm in asked)
        if agreed and first.output is not None:
            return first.reward  # most answers are of one mind
        outputs = {arm: output for arm in asked if (output := logged[arm].output) is not None}
        decided = decide(
            outputs,
            weights=weights,
            asked=asked,
            how=self.how,
            threshold=self.threshold,
            default=self.default_output,
        )
        answer = self.default_output if isinstance(decided, Objection) else decided.output
        if answer is None:
            return 0.0
        for arm, output in outputs.items():
            if output is answer:  # judged already
                return logged[arm].reward
        return self.judged(answer, label=query.label)

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
    )
