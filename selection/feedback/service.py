"""Takes feedback: joins it with its prediction, learns from it, and keeps it (§5)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar

from redis.asyncio import Redis

from core.errors import ClipperError, ExpiredReceipt, InvalidReceipt, Unavailable
from core.loop.turns import Slice, Turns
from core.specs import ApplicationSpec
from selection.feedback.events import (
    ArmOutcome,
    FeedbackEvent,
    FeedbackItem,
    FeedbackResult,
    Rejection,
)
from selection.feedback.joining import (
    Answered,
    PredictArms,
    counted_before,
    from_receipt,
    joined,
    mark_of,
    predicted,
)
from selection.feedback.journal import FeedbackJournal, JournalEntry, States
from selection.feedback.scoring import FREE, Price, charged, losses_of, prices_of
from selection.kinds import DEFAULT, INPUT
from selection.learning.update import update_of
from selection.policies import Policy
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from selection.store.keys import redis_needed
from selection.store.outputs import OutputStore
from selection.store.state import SelectionStore

PREDICTED_AT_ONCE = 16
RETRY_AFTER_S = 10.0
NO_COSTS: Mapping[str, float] = MappingProxyType({})

T = TypeVar("T")


class FeedbackService:
    """Counts feedback once, however often it is sent; what it accepted is durable.

    So many `replicas` of Redis have it before it is acknowledged.
    While it is `paused` it takes none, as Redis has no memory left for it.
    It calls `note_expired` with each piece that came after its feedback window. What it works out
    is cut into slices of the loop's `turns`: a request may hold hundreds of items.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        signer: ReceiptSigner,
        store: SelectionStore,
        outputs: OutputStore,
        replicas: int = 0,
        note_expired: Callable[[ApplicationSpec], None] = lambda _: None,
        turns: Turns | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = FeedbackJournal(redis, replicas=replicas)
        self._signer = signer
        self._store = store
        self._outputs = outputs
        self._note_expired = note_expired
        self._turns = turns or Turns()
        self._clock = clock
        self.paused = False

    async def submit(
        self,
        application: ApplicationSpec,
        items: Sequence[FeedbackItem | ClipperError],
        *,
        arms: Mapping[str, float],
        predict_arms: PredictArms,
        costs: Mapping[str, float] = NO_COSTS,
    ) -> FeedbackResult:
        """Count the items and say what became of each; an error among them is its rejection.

        `arms` are the arms routed now, with their routes' weights, `costs` what asking each costs.
        Raises `Unavailable` without Redis: the whole request may be sent again, what had been
        counted is then a duplicate.
        """
        self._refuse_while_paused()
        now_ms = int(self._clock() * 1000)
        answered = await self._join(
            application, items, now_ms=now_ms, predict_arms=predict_arms, costs=costs
        )
        slice = Slice(self._turns)
        observed = []
        for item, prediction in zip(items, answered, strict=True):
            observed.append(_attempt(self._observe, application, item, prediction, arms, now_ms))
            await slice.pause()
        observations = [o for o in observed if isinstance(o, JournalEntry)]
        async with redis_needed():
            left = await self._journal.append(observations)
        self._update_copies(observations, left)
        accepted = sum(states is not None for states in left)
        return FeedbackResult(
            accepted=accepted,
            duplicates=len(left) - accepted,
            rejected=tuple(
                Rejection(index, error.message, error.code)
                for index, error in enumerate(observed)
                if isinstance(error, ClipperError)
            ),
        )

    async def settle(
        self,
        application: ApplicationSpec,
        receipts: Sequence[Receipt],
        *,
        reward: float,
        arms: Mapping[str, float],
    ) -> int:
        """Count these predictions, which got no feedback within their window, as this reward.

        Returns how many were counted: the others had got feedback after all, or were settled
        elsewhere. Raises `Unavailable` without Redis, and all may be settled again.
        """
        self._refuse_while_paused()
        now_ms = int(self._clock() * 1000)
        stored = await self._stored_outputs(receipts)
        item = FeedbackItem(query_id="", reward=reward)
        answered = [
            from_receipt(receipt, stored=stored.get(receipt.nonce), kind=DEFAULT)
            for receipt in receipts
        ]
        slice = Slice(self._turns)
        observed = []
        for prediction in answered:
            observed.append(_attempt(self._observe, application, item, prediction, arms, now_ms))
            await slice.pause()
        observations = [o for o in observed if isinstance(o, JournalEntry)]
        async with redis_needed():
            left = await self._journal.append(observations)
        self._update_copies(observations, left)
        return sum(states is not None for states in left)

    def _refuse_while_paused(self) -> None:
        if self.paused:
            raise Unavailable(
                "Redis has no memory left for feedback; nothing was lost, send it again later",
                retry_after_s=RETRY_AFTER_S,
            )

    # --- join: what had been answered ---------------------------------------------------------

    async def _join(
        self,
        application: ApplicationSpec,
        items: Sequence[FeedbackItem | ClipperError],
        *,
        now_ms: int,
        predict_arms: PredictArms,
        costs: Mapping[str, float],
    ) -> list[Answered | ClipperError]:
        slice = Slice(self._turns)
        receipts = []
        for item in items:
            receipts.append(
                _attempt(self._verified, application, item.query_id, now_ms)
                if isinstance(item, FeedbackItem) and isinstance(item.query_id, str)
                else None
            )
            await slice.pause()
        stored = await self._stored_outputs(r for r in receipts if isinstance(r, Receipt))
        marks = [mark_of(item, application=application) for item in items]
        counted = await self._counted(mark for mark in marks if mark)
        limit = asyncio.Semaphore(PREDICTED_AT_ONCE)
        async with asyncio.TaskGroup() as group:
            predictions = {
                index: group.create_task(
                    predicted(
                        application,
                        item,
                        now_ms=now_ms,
                        predict_arms=predict_arms,
                        limit=limit,
                        costs=costs,
                    )
                )
                for index, item in enumerate(items)
                if isinstance(item, FeedbackItem)
                and receipts[index] is None
                and marks[index] not in counted
            }
        return [
            predictions[index].result()
            if index in predictions
            else counted_before(item, mark=marks[index], now_ms=now_ms)
            if isinstance(item, FeedbackItem) and marks[index] in counted
            else joined(item, receipt=receipt, stored=stored)
            for index, (item, receipt) in enumerate(zip(items, receipts, strict=True))
        ]

    def _verified(self, application: ApplicationSpec, token: str, now_ms: int) -> Receipt:
        receipt = self._signer.verify(token)
        if receipt.application_id != application.id:
            raise InvalidReceipt("query_id: issued for another application")
        window_s = application.feedback_window_s
        if receipt.window_s:
            # A window made longer since is not for it: its mark may have expired by the former one.
            window_s = min(window_s, receipt.window_s)
        if now_ms - receipt.issued_at_ms > window_s * 1000:
            self._note_expired(application)
            raise ExpiredReceipt(f"query_id: older than the feedback window of {window_s} s")
        return receipt

    async def _stored_outputs(self, receipts: Iterable[Receipt]) -> dict[bytes, dict[str, bytes]]:
        nonces = [receipt.nonce for receipt in receipts if receipt.stored]
        if not nonces:
            return {}
        async with redis_needed():
            return await self._outputs.fetch(nonces)

    async def _counted(self, marks: Iterable[bytes]) -> set[bytes]:
        given = list(marks)
        if not given:
            return set()
        async with redis_needed():
            return await self._journal.counted(given)

    # --- observe: what it teaches -------------------------------------------------------------

    def _observe(
        self,
        application: ApplicationSpec,
        item: FeedbackItem | ClipperError,
        answered: Answered | ClipperError,
        arms: Mapping[str, float],
        now_ms: int,
    ) -> JournalEntry:
        if isinstance(answered, ClipperError):
            raise answered
        assert isinstance(item, FeedbackItem)  # noqa: S101 - an error is its own answer above
        policy = self._store.policy(application)
        features = _learned_from(answered, policy=policy)
        prices = prices_of(answered, application=application)
        losses = charged(losses_of(answered, item=item, application=application), prices=prices)
        update = None
        if losses and not answered.forced:
            update = update_of(
                policy,
                arms=arms,
                losses=losses,
                propensities={record.arm: record.propensity for record in answered.arms},
                features=features,
                at_ms=now_ms,
            )
        label = bytes(item.label)
        return JournalEntry(
            mark=answered.mark or answered.nonce,
            update=update,
            window_s=answered.window_s or application.feedback_window_s,
            context_ttl_s=application.context_ttl_s,
            max_contexts=application.max_contexts,
            event=FeedbackEvent(
                application_id=application.id,
                context=answered.context,
                nonce=answered.nonce.hex(),
                issued_at_ms=answered.issued_at_ms,
                received_at_ms=now_ms,
                kind=answered.kind,
                label=label.decode() if label else None,
                reward=item.mean_reward(),
                arms=tuple(
                    _outcome(record, losses.get(record.arm), prices.get(record.arm, FREE))
                    for record in answered.arms
                ),
                forced=answered.forced,
                routed=() if update is None else tuple(arms),
                features=features,
                key=answered.key,
                metrics=item.metrics,
            ),
        )

    def _update_copies(
        self, observations: Sequence[JournalEntry], left: Sequence[States | None]
    ) -> None:
        latest = {
            (observation.event.application_id, context): state
            for observation, states in zip(observations, left, strict=True)
            for context, state in (states or {}).items()
        }
        for (application_id, context), state in latest.items():
            self._store.learned(application_id, context=context, state=state)


def _learned_from(answered: Answered, *, policy: Policy) -> tuple[float, ...]:
    """Return what the policy learns of the features; those in a receipt were encoded already."""
    if answered.kind == INPUT:
        return policy.encode(answered.features)
    assert isinstance(answered.features, tuple)  # noqa: S101 - a receipt holds nothing else
    return answered.features


def _outcome(record: ArmRecord, loss: float | None, price: Price) -> ArmOutcome:
    output = None if record.output is None else record.output.decode(errors="replace")
    return ArmOutcome(record.arm, record.propensity, output, loss, *price)


def _attempt(function: Callable[..., T], *arguments: object) -> T | ClipperError:
    try:
        return function(*arguments)
    except ClipperError as error:
        return error
