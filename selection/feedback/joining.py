"""The prediction that a piece of feedback is about: read from its receipt, or made for it (§5)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b

from msgspec import UnsetType

from core.errors import ClipperError, InvalidReceipt, NotReady
from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackItem
from selection.kinds import INPUT, RECEIPT, Kind
from selection.policies.features import Features
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt, Spent
from selection.store.keys import GLOBAL_CONTEXT

MARK_BYTES = 20

# Asks every arm of an application: (application, input as JSON text) -> outputs by arm.
PredictArms = Callable[[ApplicationSpec, bytes], Awaitable[Mapping[str, bytes]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """One prediction. `complete`: an arm without an output here had none to give, and those
    `excused` are not to pay for that. `window_s` is the feedback window of then, 0: that of now.
    `spent` is what asking each of the `arms` took, () where nobody noted it. `mark` is by what it
    counts once, where that isn't the nonce.
    """

    kind: Kind
    nonce: bytes
    issued_at_ms: int
    context: str
    arms: tuple[ArmRecord, ...]
    forced: bool = False
    # Of a labelled input they are as they were given, until its policy has encoded them.
    features: Features = ()
    complete: bool = True
    excused: tuple[str, ...] = ()
    window_s: int = 0
    key: str = ""
    spent: tuple[Spent, ...] = ()
    mark: bytes = b""


def from_receipt(
    receipt: Receipt, *, stored: Mapping[str, bytes] | None, kind: Kind = RECEIPT
) -> Answered:
    """Return the prediction of a receipt, with the outputs that were kept beside it, if any are."""
    arms = receipt.arms
    if receipt.stored and stored is not None:
        arms = tuple(ArmRecord(a.arm, a.propensity, stored.get(a.arm)) for a in arms)
    return Answered(
        kind=kind,
        nonce=receipt.nonce,
        issued_at_ms=receipt.issued_at_ms,
        context=receipt.context,
        arms=arms,
        forced=receipt.forced,
        features=receipt.features,
        complete=not receipt.stored or stored is not None,
        excused=receipt.excused,
        window_s=receipt.window_s,
        key=receipt.key,
        spent=receipt.spent,
    )


def joined(
    item: FeedbackItem | ClipperError,
    *,
    receipt: Receipt | ClipperError | None,
    stored: Mapping[bytes, Mapping[str, bytes]],
) -> Answered | ClipperError:
    """Return the prediction of an item's receipt, or why there is none."""
    if isinstance(item, ClipperError):
        return item
    assert receipt is not None  # noqa: S101 - items without one were predicted
    if isinstance(receipt, ClipperError):
        return receipt
    answered = from_receipt(receipt, stored=stored.get(receipt.nonce))
    if bytes(item.label) and not answered.complete:
        return InvalidReceipt("query_id: the outputs of this query are no longer kept")
    return answered


async def predicted(
    application: ApplicationSpec,
    item: FeedbackItem,
    *,
    now_ms: int,
    predict_arms: PredictArms,
    limit: asyncio.Semaphore,
    costs: Mapping[str, float],
) -> Answered | ClipperError:
    """Ask every arm for its output: all of them had the chance 1, whatever the policy.

    Each has its cost, of `costs`, but no seconds: nobody waited for it.
    """
    context = item.context if isinstance(item.context, str) else GLOBAL_CONTEXT
    try:
        async with limit:
            outputs = await predict_arms(application, bytes(item.input))
    except ClipperError as error:
        return error
    if not outputs:
        return NotReady("no model answered for this input; send it again")
    return Answered(
        kind=INPUT,
        nonce=os.urandom(NONCE_BYTES),
        issued_at_ms=now_ms,
        context=context,
        arms=tuple(ArmRecord(arm, 1.0, output) for arm, output in outputs.items()),
        spent=tuple(Spent(0.0, costs.get(arm, 0.0)) for arm in outputs),
        features=item.features,
        mark=mark_of(item, application=application),
    )


def counted_before(item: FeedbackItem, *, mark: bytes, now_ms: int) -> Answered:
    """Stand for a labelled input whose mark is there: nobody is asked about it again."""
    return Answered(
        kind=INPUT,
        nonce=os.urandom(NONCE_BYTES),
        issued_at_ms=now_ms,
        context=item.context if isinstance(item.context, str) else GLOBAL_CONTEXT,
        arms=(),
        features=item.features,
        mark=mark,
    )


def mark_of(item: FeedbackItem | ClipperError, *, application: ApplicationSpec) -> bytes:
    """One of the key that the caller gave; longer than a nonce, so that none is another's."""
    if isinstance(item, ClipperError) or isinstance(item.idempotency_key, UnsetType):
        return b""
    said = f"{application.id}:{item.idempotency_key}"
    return blake2b(said.encode(), digest_size=MARK_BYTES).digest()
