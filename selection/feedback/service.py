"""Takes feedback: joins it with its prediction, learns from it, and keeps it (§5)."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from redis.asyncio import Redis

from registry.errors import ClipperError, InvalidReceipt, NotReady
from registry.specs import ApplicationSpec
from selection.feedback.events import (
    INPUT,
    RECEIPT,
    ArmOutcome,
    FeedbackEvent,
    FeedbackItem,
    FeedbackResult,
    Kind,
    Rejection,
)
from selection.feedback.journal import FeedbackJournal, Observation
from selection.losses import loss_against, loss_of_reward
from selection.outputs import OutputStore
from selection.receipts import NONCE_BYTES, ArmRecord, Receipt, ReceiptSigner
from selection.state import SelectionStore
from selection.storage import GLOBAL_CONTEXT, redis_needed

PREDICTED_AT_ONCE = 16

# Asks every arm of an application: (application, input as JSON text) -> outputs by arm.
PredictArms = Callable[[ApplicationSpec, bytes], Awaitable[Mapping[str, bytes]]]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Answered:
    """The prediction that an item is about: read from its receipt, or made for its input."""

    kind: Kind
    nonce: bytes
    issued_at_ms: int
    context: str
    arms: tuple[ArmRecord, ...]
    forced: bool = False


class FeedbackService:
    """Counts feedback once, however often it is sent; what it accepted is durable."""

    def __init__(
        self,
        redis: Redis,
        *,
        signer: ReceiptSigner,
        store: SelectionStore,
        outputs: OutputStore,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = FeedbackJournal(redis)
        self._signer = signer
        self._store = store
        self._outputs = outputs
        self._clock = clock

    async def submit(
        self,
        application: ApplicationSpec,
        items: Sequence[FeedbackItem | ClipperError],
        *,
        arms: Mapping[str, float],
        predict_arms: PredictArms,
    ) -> FeedbackResult:
        """Count the items and say what became of each; an error among them is its rejection.

        `arms` are the arms routed now, with their routes' weights. Raises `Unavailable` without
        Redis: the whole request may be sent again, what had been counted is then a duplicate.
        """
        now_ms = int(self._clock() * 1000)
        answered = await self._join(application, items, now_ms=now_ms, predict_arms=predict_arms)
        observed = [
            _attempt(self._observe, application, item, prediction, arms, now_ms)
            for item, prediction in zip(items, answered, strict=True)
        ]
        observations = [o for o in observed if isinstance(o, Observation)]
        async with redis_needed():
            left = await self._journal.append(observations)
        self._update_copies(observations, left)
        accepted = sum(log_weights is not None for log_weights in left)
        return FeedbackResult(
            accepted=accepted,
            duplicates=len(left) - accepted,
            rejected=tuple(
                Rejection(index, error.message, error.code)
                for index, error in enumerate(observed)
                if isinstance(error, ClipperError)
            ),
        )

    # --- join: what had been answered ---------------------------------------------------------

    async def _join(
        self,
        application: ApplicationSpec,
        items: Sequence[FeedbackItem | ClipperError],
        *,
        now_ms: int,
        predict_arms: PredictArms,
    ) -> list[_Answered | ClipperError]:
        receipts = [
            _attempt(self._verified, application, item.query_id, now_ms)
            if isinstance(item, FeedbackItem) and isinstance(item.query_id, str)
            else None
            for item in items
        ]
        stored = await self._stored_outputs(r for r in receipts if isinstance(r, Receipt))
        limit = asyncio.Semaphore(PREDICTED_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            predictions = {
                index: group.create_task(_predicted(application, item, now_ms, predict_arms, limit))
                for index, item in enumerate(items)
                if isinstance(item, FeedbackItem) and receipts[index] is None
            }
        return [
            predictions[index].result()
            if index in predictions
            else _joined(item, receipt=receipt, stored=stored)
            for index, (item, receipt) in enumerate(zip(items, receipts, strict=True))
        ]

    def _verified(self, application: ApplicationSpec, token: str, now_ms: int) -> Receipt:
        receipt = self._signer.verify(token)
        if receipt.application_id != application.id:
            raise InvalidReceipt("query_id: issued for another application")
        if now_ms - receipt.issued_at_ms > application.feedback_window_s * 1000:
            raise InvalidReceipt(
                f"query_id: older than the feedback window of {application.feedback_window_s} s"
            )
        return receipt

    async def _stored_outputs(self, receipts: Iterable[Receipt]) -> dict[bytes, dict[str, bytes]]:
        nonces = [receipt.nonce for receipt in receipts if receipt.stored]
        if not nonces:
            return {}
        async with redis_needed():
            return await self._outputs.fetch(nonces)

    # --- observe: what it teaches -------------------------------------------------------------

    def _observe(
        self,
        application: ApplicationSpec,
        item: FeedbackItem | ClipperError,
        answered: _Answered | ClipperError,
        arms: Mapping[str, float],
        now_ms: int,
    ) -> Observation:
        if isinstance(answered, ClipperError):
            raise answered
        assert isinstance(item, FeedbackItem)  # noqa: S101 - an error is its own answer above
        losses = _losses(answered.arms, item=item, how=application.combine)
        policy = self._store.policy(application)
        moved: dict[str, float] = {}
        if not answered.forced:
            chances = {record.arm: record.propensity for record in answered.arms}
            deltas = policy.observe(losses=losses, propensities=chances)
            moved = {arm: deltas.get(arm, 0.0) for arm in losses}
        weighed = tuple(dict.fromkeys((*arms, *moved))) if moved and policy.learns else ()
        label = bytes(item.label)
        return Observation(
            nonce=answered.nonce,
            arms=weighed,
            deltas=moved,
            window_s=application.feedback_window_s,
            event=FeedbackEvent(
                application_id=application.id,
                context=answered.context,
                nonce=answered.nonce.hex(),
                issued_at_ms=answered.issued_at_ms,
                received_at_ms=now_ms,
                kind=answered.kind,
                label=label.decode() if label else None,
                reward=item.reward if isinstance(item.reward, int | float) else None,
                arms=tuple(_outcome(record, losses.get(record.arm)) for record in answered.arms),
                forced=answered.forced,
            ),
        )

    def _update_copies(
        self, observations: Sequence[Observation], left: Sequence[Mapping[str, float] | None]
    ) -> None:
        latest = {
            (one.event.application_id, one.event.context): log_weights
            for one, log_weights in zip(observations, left, strict=True)
            if log_weights
        }
        for (application_id, context), log_weights in latest.items():
            self._store.learned(application_id, context=context, log_weights=log_weights)


async def _predicted(
    application: ApplicationSpec,
    item: FeedbackItem,
    now_ms: int,
    predict_arms: PredictArms,
    limit: asyncio.Semaphore,
) -> _Answered | ClipperError:
    """Ask every arm for its output: all of them had the chance 1, whatever the policy."""
    context = item.context if isinstance(item.context, str) else GLOBAL_CONTEXT
    try:
        async with limit:
            outputs = await predict_arms(application, bytes(item.input))
    except ClipperError as error:
        return error
    if not outputs:
        return NotReady("no model answered for this input; send it again")
    return _Answered(
        kind=INPUT,
        nonce=os.urandom(NONCE_BYTES),
        issued_at_ms=now_ms,
        context=context,
        arms=tuple(ArmRecord(arm, 1.0, output) for arm, output in outputs.items()),
    )


def _joined(
    item: FeedbackItem | ClipperError,
    *,
    receipt: Receipt | ClipperError | None,
    stored: Mapping[bytes, Mapping[str, bytes]],
) -> _Answered | ClipperError:
    if isinstance(item, ClipperError):
        return item
    assert receipt is not None  # noqa: S101 - items without one were predicted
    if isinstance(receipt, ClipperError):
        return receipt
    return _from_receipt(receipt, item=item, stored=stored.get(receipt.nonce))


def _from_receipt(
    receipt: Receipt, *, item: FeedbackItem, stored: Mapping[str, bytes] | None
) -> _Answered | ClipperError:
    arms = receipt.arms
    if receipt.stored and stored is not None:
        arms = tuple(ArmRecord(a.arm, a.propensity, stored.get(a.arm)) for a in arms)
    elif receipt.stored and bytes(item.label):
        return InvalidReceipt("query_id: the outputs of this query are no longer kept")
    return _Answered(
        kind=RECEIPT,
        nonce=receipt.nonce,
        issued_at_ms=receipt.issued_at_ms,
        context=receipt.context,
        arms=arms,
        forced=receipt.forced,
    )


def _losses(arms: Sequence[ArmRecord], *, item: FeedbackItem, how: str) -> dict[str, float]:
    """Return losses of the arms that answered; a reward is that of every arm asked."""
    if isinstance(item.reward, int | float):
        return {record.arm: loss_of_reward(item.reward) for record in arms}
    label = bytes(item.label)
    return {
        record.arm: loss_against(label, output=record.output, how=how)
        for record in arms
        if record.output is not None
    }


def _outcome(record: ArmRecord, loss: float | None) -> ArmOutcome:
    output = None if record.output is None else record.output.decode(errors="replace")
    return ArmOutcome(record.arm, record.propensity, output, loss)


def _attempt(function: Callable[..., T], *arguments: object) -> T | ClipperError:
    try:
        return function(*arguments)
    except ClipperError as error:
        return error
