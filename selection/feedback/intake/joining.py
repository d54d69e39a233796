"""The prediction that a piece of feedback is about: read from its receipt, or made for it (§5)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from msgspec import UnsetType
from msgspec.structs import replace

from core.errors import ClipperError, InvalidReceipt, NotReady
from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem
from selection.kinds import INPUT, RECEIPT, Kind
from selection.policies import Policy
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt, Spent
from selection.store.redis_keys import GLOBAL_CONTEXT

# Asks every arm of an application: (application, input as JSON text) -> outputs by arm.
PredictArms = Callable[[ApplicationSpec, bytes], Awaitable[Mapping[str, bytes]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinedPrediction:
    """A prediction with its receipt, which a labelled input gets as well.

    `complete`: an arm without an output had none to give. `mark` is what it counts once by.
    """

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


def join(
    item: FeedbackItem | ClipperError,
    *,
    receipt: Receipt | ClipperError | None,
    stored: Mapping[bytes, Mapping[str, bytes]],
) -> JoinedPrediction | ClipperError:
    """Return the prediction of an item's receipt, or the error if there is none."""
    if isinstance(item, ClipperError):
        return item
    assert receipt is not None  # noqa: S101 - items without one were predicted
    if isinstance(receipt, ClipperError):
        return receipt
    prediction = from_receipt(receipt, stored=stored.get(receipt.nonce))
    if bytes(item.label) and not prediction.complete:
        return InvalidReceipt("query_id: the outputs of this query are no longer kept")
    return prediction


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
    return _of_input(
        application,
        item,
        now_ms=now_ms,
        arms=tuple(ArmRecord(arm, 1.0, output) for arm, output in outputs.items()),
        spent=tuple(Spent(0.0, costs.get(arm, 0.0)) for arm in outputs),
        features=features,
    )


def counted_before(
    application: ApplicationSpec, item: FeedbackItem, *, now_ms: int
) -> JoinedPrediction:
    """Stand for a labelled input whose mark is there: no arm is asked about it again."""
    return _of_input(application, item, now_ms=now_ms)


def _of_input(
    application: ApplicationSpec,
    item: FeedbackItem,
    *,
    now_ms: int,
    arms: tuple[ArmRecord, ...] = (),
    spent: tuple[Spent, ...] = (),
    features: tuple[float, ...] = (),
) -> JoinedPrediction:
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
