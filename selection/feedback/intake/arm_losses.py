"""Losses of arms, from 0 to 1, by a piece of feedback."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from core.errors import InvalidInput
from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem
from selection.feedback.intake.joining import JoinedPrediction
from selection.receipts import Receipt
from selection.rewards.losses import check_label, loss_of, loss_of_reward


class Price(NamedTuple):
    """Deductions from an arm's reward for its seconds and its cost."""

    lateness: float = 0.0
    cost: float = 0.0


FREE = Price()


def prices_of(receipt: Receipt, *, application: ApplicationSpec) -> dict[str, Price]:
    """Return prices by arm, for arms whose seconds and cost are known."""
    return {
        record.arm: Price(
            application.lateness_price * spent.seconds, application.cost_price * spent.cost
        )
        for record, spent in zip(receipt.arms, receipt.spent, strict=False)
    }


def charged(losses: Mapping[str, float], *, prices: Mapping[str, Price]) -> dict[str, float]:
    """Return losses with what each arm's price adds to its own: at most 1."""
    return {arm: min(loss + sum(prices.get(arm, FREE)), 1.0) for arm, loss in losses.items()}


def losses_of(
    prediction: JoinedPrediction, *, item: FeedbackItem, application: ApplicationSpec
) -> dict[str, float]:
    """Return losses by arm; arms that nothing was said about aren't among them.

    A label judges each answer, a reward is that of every arm that answered, rewards name their
    arms. An arm that was asked and gave no answer has the application's `missing_loss`, unless it
    is excused. Raises `InvalidInput` where the label is nothing to judge by, or
    a reward is of an arm not asked.
    """
    receipt = prediction.receipt
    if isinstance(item.rewards, dict):
        return _rewarded(receipt, item.rewards)
    missing = application.missing_loss
    if isinstance(item.reward, int | float):
        loss = loss_of_reward(item.reward)
        return {
            record.arm: loss
            if missing is None or record.output is not None or not prediction.complete
            else missing
            for record in receipt.arms
            if record.output is not None or record.arm not in receipt.excused
        }
    label = bytes(item.label)
    outputs = [record.output for record in receipt.arms if record.output is not None]
    check_label(label, outputs=outputs, application=application)
    judge = loss_of(application)
    losses: dict[str, float] = {}
    for record in receipt.arms:
        if record.output is not None:
            losses[record.arm] = judge(label, record.output)
        elif missing is not None and record.arm not in receipt.excused:
            losses[record.arm] = missing
    return losses


def _rewarded(receipt: Receipt, rewards: dict[str, float]) -> dict[str, float]:
    asked = [record.arm for record in receipt.arms]
    unasked = sorted(rewards.keys() - set(asked))
    if unasked:
        raise InvalidInput(
            f"rewards: {unasked[0]!r} was not asked; expected arms out of {', '.join(asked)}"
        )
    return {arm: loss_of_reward(rewards[arm]) for arm in asked if arm in rewards}
