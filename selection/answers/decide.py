"""How an application makes one answer of several and judges it: for queries that were logged."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from registry.errors import InvalidInput, ModelFailed
from registry.specs import ApplicationSpec
from selection.answers.combine import VOTE, combine
from selection.evaluation.logged import LoggedQuery
from selection.rewards.losses import Loss, make_loss


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
        logged = {one.arm: one for one in query.asked}
        if query.label is None or not all(arm in logged for arm in asked):
            return None
        first = logged[asked[0]]
        agreed = self.how == VOTE and all(logged[arm].output is first.output for arm in asked)
        if agreed and first.output is not None:
            return first.reward  # most answers are of one mind
        outputs = {arm: output for arm in asked if (output := logged[arm].output) is not None}
        answer = self._answer(outputs, asked=asked, weights=weights)
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

    def _answer(
        self, outputs: Mapping[str, bytes], *, asked: Sequence[str], weights: Mapping[str, float]
    ) -> bytes | None:
        if not outputs:
            return self.default_output
        try:
            combined = combine(outputs, weights=weights, asked=asked, how=self.how)
        except ModelFailed:
            return self.default_output
        # Without a default there is nothing better to give than an answer of low confidence.
        if combined.confidence < self.threshold and self.default_output is not None:
            return self.default_output
        return combined.output


def answer_rule_of(application: ApplicationSpec) -> AnswerRule:
    """Return how an application makes and judges its answers."""
    return AnswerRule(
        loss=make_loss(
            application.loss,
            combine=application.combine,
            scale=application.loss_scale,
            expression=application.loss_expression,
        ),
        how=application.combine,
        threshold=application.confidence_threshold,
        default_output=application.default_output,
    )
