"""The prediction that a piece of feedback is about, and the losses of its arms (§5)."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

from msgspec import UnsetType
from msgspec.structs import replace

from core.errors import ClipperError, InvalidInput, NotReady
from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem
from selection.kinds import INPUT, RECEIPT, Kind
from selection.policies import Policy
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt, Spent
from selection.rewards.losses import check_label, loss_of
from selection.store.redis_keys import GLOBAL_CONTEXT

# Asks every arm of an application: (application, input as JSON text) -> outputs by arm.
PredictArms = Callable[[ApplicationSpec, bytes], Awaitable[Mapping[str, bytes]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedPrediction:
    """A prediction that counts once by its `mark`; `complete`: a missing output was never given."""

    kind: Kind
    receipt: Receipt
    mark: bytes
    complete: bool = True


def from_receipt(
    receipt: Receipt, *, stored: Mapping[str, bytes] | None, kind: Kind = RECEIPT
) -> JoinedPrediction:
    """Return the prediction of a receipt, with the outputs stored beside it, if there are any."""
    complete = not receipt.stored or stored is not None
    if receipt.stored and stored is not None:
        arms = tuple(ArmRecord(a.arm, a.propensity, stored.get(a.arm)) for a in receipt.arms)
        receipt = replace(receipt, arms=arms)
    return JoinedPrediction(kind=kind, receipt=receipt, mark=receipt.nonce, complete=complete)


async def predict(
    application: ApplicationSpec,
    item: FeedbackItem,
    *,
    policy: Policy,
    now_ms: int,
    predict_arms: PredictArms,
    limit: asyncio.Semaphore,
    costs: Mapping[str, float],
) -> JoinedPrediction | ClipperError:
    """Ask every arm about a labelled input: each has the chance 1, whatever the policy."""
    try:
        features = policy.encode(item.features)
        async with limit:
            outputs = await predict_arms(application, bytes(item.input))
    except ClipperError as error:
        return error
    if not outputs:
        return NotReady("no model answered for this input; send it again")
    return of_input(
        application,
        item,
        now_ms=now_ms,
        arms=tuple(ArmRecord(arm, 1.0, output) for arm, output in outputs.items()),
        spent=tuple(Spent(0.0, costs.get(arm, 0.0)) for arm in outputs),
        features=features,
    )


def of_input(
    application: ApplicationSpec,
    item: FeedbackItem,
    *,
    now_ms: int,
    arms: tuple[ArmRecord, ...] = (),
    spent: tuple[Spent, ...] = (),
    features: tuple[float, ...] = (),
) -> JoinedPrediction:
    """Return the prediction of a labelled input; without `arms`, of one that has counted."""
    receipt = Receipt(
        nonce=os.urandom(NONCE_BYTES),
        issued_at_ms=now_ms,
        application_id=application.id,
        context=item.context if isinstance(item.context, str) else GLOBAL_CONTEXT,
        arms=arms,
        spent=spent,
        features=features,
    )
    mark = mark_of(item, application=application) or receipt.nonce
    return JoinedPrediction(kind=INPUT, receipt=receipt, mark=mark)


def mark_of(item: FeedbackItem | ClipperError, *, application: ApplicationSpec) -> bytes:
    """Return the mark of the caller's idempotency key, b"" without one."""
    if isinstance(item, ClipperError) or isinstance(item.idempotency_key, UnsetType):
        return b""
    text = f"{application.id}:{item.idempotency_key}"
    return blake2b(text.encode(), digest_size=20).digest()


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


def losses_of(
    prediction: JoinedPrediction, *, item: FeedbackItem, application: ApplicationSpec
) -> dict[str, float]:
    """Return losses by arm; arms that nothing was said about aren't among them.

    An arm without an answer has the application's `missing_loss`, unless it is excused. Raises
    `InvalidInput` if the label is nothing to judge by, or a reward is of an arm not asked.
    """
    receipt = prediction.receipt
    if isinstance(item.rewards, dict):
        return _reward_losses(receipt, item.rewards)
    missing = application.missing_loss
    if isinstance(item.reward, int | float):
        loss = 1.0 - item.reward
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


def _reward_losses(receipt: Receipt, rewards: dict[str, float]) -> dict[str, float]:
    asked = [record.arm for record in receipt.arms]
    unasked = sorted(rewards.keys() - set(asked))
    if unasked:
        raise InvalidInput(
            f"rewards: {unasked[0]!r} was not asked; expected arms out of {', '.join(asked)}"
        )
    return {arm: 1.0 - rewards[arm] for arm in asked if arm in rewards}
