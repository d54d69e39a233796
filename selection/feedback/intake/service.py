"""Takes feedback: joins it with its prediction, learns from it, and keeps it (§5)."""

import asyncio
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import TypeVar

from redis.asyncio import Redis

from core.errors import ClipperError, ExpiredReceipt, InvalidReceipt, Unavailable
from core.loop.loop_slices import Slice, Turns
from core.specs import ApplicationSpec
from selection.answers.judged import answer_seen
from selection.feedback.events import (
    ArmOutcome,
    FeedbackEvent,
    FeedbackItem,
    FeedbackResult,
    Rejection,
)
from selection.feedback.intake.joining import (
    FREE,
    JoinedPrediction,
    PredictArms,
    Price,
    from_receipt,
    losses_of,
    mark_of,
    of_input,
    predict,
    prices_of,
)
from selection.feedback.persistence.journal import FeedbackJournal, JournalUpdate
from selection.kinds import DEFAULT, SAMPLING_CHANCE
from selection.receipts import (
    SHADOWED,
    ArmRecord,
    Receipt,
    ReceiptSigner,
    RolloutDraw,
    shadow_nonce,
)
from selection.rewards.losses import loss_of
from selection.store.large_outputs import OutputStore
from selection.store.redis_keys import REDIS_ERRORS, redis_needed
from selection.store.selection_store import SelectionStore

# Gates of rollouts that labels count under: a metric's has its name behind this.
REWARD, METRIC = "reward", "metric "
# By how much a shadow lost more than the live version.
SHADOW_REWARD = "shadow reward"
NOT_KEPT = "query_id: the outputs of this query are no longer kept"
NO_COSTS: Mapping[str, float] = MappingProxyType({})

T = TypeVar("T")
Joined = JoinedPrediction | ClipperError
# Takes an application's id, a draw of a receipt, the gate and the loss that a label means for it.
NoteDraw = Callable[[int, RolloutDraw, str, float], None]


class FeedbackService:
    """Counts feedback once, however often it is sent; what it accepted is durable.

    While it is `paused` it takes none. `note_expired` is called with each piece after its window,
    `note_draw` with what counted pieces say of versions that are rolled out. A request may hold
    hundreds of items, so its work is cut into slices of the loop's `turns`.
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
        note_draw: NoteDraw = lambda *_: None,
        turns: Turns | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = FeedbackJournal(redis, replicas=replicas)
        self._signer = signer
        self._store = store
        self._outputs = outputs
        self._note_expired = note_expired
        self._note_draw = note_draw
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
        """Count the items; an error among them is its rejection.

        Raises `Unavailable` without Redis: the whole request may be sent again.
        """
        self._refuse_while_paused()
        now_ms = int(self._clock() * 1000)
        predictions = await self._join(
            application, items, now_ms=now_ms, predict_arms=predict_arms, costs=costs
        )
        pairs = list(zip(items, predictions, strict=True))
        found, accepted = await self._count(application, pairs, arms=arms, now_ms=now_ms)
        rejected = tuple(
            Rejection(index, error.message, error.code)
            for index, error in enumerate(found)
            if isinstance(error, ClipperError)
        )
        return FeedbackResult(
            accepted=accepted, duplicates=len(found) - len(rejected) - accepted, rejected=rejected
        )

    async def settle(
        self,
        application: ApplicationSpec,
        receipts: Sequence[Receipt],
        *,
        reward: float,
        arms: Mapping[str, float],
    ) -> int:
        """Count these predictions as this reward. Raises `Unavailable`: all may be sent again."""
        self._refuse_while_paused()
        stored = await self._stored_outputs(receipts)
        item = FeedbackItem(query_id="", reward=reward)
        pairs = [
            (item, from_receipt(receipt, stored=stored.get(receipt.nonce), kind=DEFAULT))
            for receipt in receipts
        ]
        now_ms = int(self._clock() * 1000)
        _, accepted = await self._count(application, pairs, arms=arms, now_ms=now_ms)
        return accepted

    def _refuse_while_paused(self) -> None:
        if self.paused:
            raise Unavailable(
                "Redis has no memory left for feedback; nothing was lost, send it again later",
                retry_after_s=10.0,
            )

    async def _count(
        self,
        application: ApplicationSpec,
        pairs: Sequence[tuple[FeedbackItem | ClipperError, Joined]],
        *,
        arms: Mapping[str, float],
        now_ms: int,
    ) -> tuple[list[JournalUpdate | ClipperError], int]:
        """Return the update of each item, or its error, and how many updates counted."""
        slice = Slice(self._turns)
        found = []
        for item, prediction in pairs:
            found.append(_attempt(self._update_of, application, item, prediction, arms, now_ms))
            await slice.pause()
        updates = [update for update in found if isinstance(update, JournalUpdate)]
        async with redis_needed():
            left = await self._journal.append(updates)
        latest = {context: state for states in left for context, state in (states or {}).items()}
        for context, state in latest.items():
            self._store.learned(application.id, context=context, state=state)
        counted = {id(one) for one, states in zip(updates, left, strict=True) if states is not None}
        drawn = [
            (item, prediction, update.event)
            for (item, prediction), update in zip(pairs, found, strict=True)
            if isinstance(update, JournalUpdate)
            and id(update) in counted
            and isinstance(item, FeedbackItem)
            and isinstance(prediction, JoinedPrediction)
            and prediction.receipt.rollouts
        ]
        if drawn:
            await self._note_drawn(application, drawn)
        return found, sum(states is not None for states in left)

    async def _note_drawn(
        self,
        application: ApplicationSpec,
        drawn: Sequence[tuple[FeedbackItem, JoinedPrediction, FeedbackEvent]],
    ) -> None:
        """Note what labels say of versions that are rolled out, and of their shadows.

        The labels have counted: what can't be noted is left out, and fails nobody's request.
        """
        nonces = [
            shadow_nonce(joined.receipt.nonce)
            for _, joined, _ in drawn
            if any(draw.chance == SHADOWED for draw in joined.receipt.rollouts)
        ]
        shadows: dict[bytes, dict[str, bytes]] = {}
        with suppress(*REDIS_ERRORS):
            shadows = await self._outputs.fetch(nonces)
        judge, slice = loss_of(application), Slice(self._turns)
        for item, joined, event in drawn:
            await slice.pause()
            losses = {arm.arm: arm.loss for arm in event.arms}
            outputs = shadows.get(shadow_nonce(joined.receipt.nonce), {})
            given, label = {a.arm: a.output for a in joined.receipt.arms}, bytes(item.label)
            for draw in joined.receipt.rollouts:
                loss = losses.get(draw.canary if draw.taken else draw.live)
                if draw.chance == SHADOWED:
                    new, old = outputs.get(draw.canary), given.get(draw.live)
                    # A cascade's answer may be a dearer arm's: it tells nothing of the live one.
                    comparable = application.cascade_below is None and bool(label)
                    if comparable and new is not None and old is not None:
                        with suppress(ClipperError):  # nothing that the label can judge
                            lost = judge(label, new) - judge(label, old)
                            self._note_draw(application.id, draw, SHADOW_REWARD, lost)
                elif loss is not None:
                    self._note_draw(application.id, draw, REWARD, loss)
                    for name, value in event.metrics.items():
                        if name != SAMPLING_CHANCE:
                            self._note_draw(application.id, draw, METRIC + name, 1.0 - value)

    # --- join: what had been answered ---------------------------------------------------------

    async def _join(
        self,
        application: ApplicationSpec,
        items: Sequence[FeedbackItem | ClipperError],
        *,
        now_ms: int,
        predict_arms: PredictArms,
        costs: Mapping[str, float],
    ) -> list[Joined]:
        slice = Slice(self._turns)
        receipts = []
        for item in items:
            receipts.append(_attempt(self._verified, application, item, now_ms))
            await slice.pause()
        stored = await self._stored_outputs(r for r in receipts if isinstance(r, Receipt))
        marks = [mark_of(item, application=application) for item in items]
        async with redis_needed():
            counted = await self._journal.counted([mark for mark in marks if mark])
        policy, limit = self._store.policy(application), asyncio.Semaphore(16)

        found: list[Joined | asyncio.Task[Joined]] = []
        async with asyncio.TaskGroup() as group:
            for item, receipt, mark in zip(items, receipts, marks, strict=True):
                if isinstance(item, ClipperError):
                    found.append(item)
                elif isinstance(receipt, ClipperError):
                    found.append(receipt)
                elif receipt is not None:
                    known = from_receipt(receipt, stored=stored.get(receipt.nonce))
                    gone = bytes(item.label) and not known.complete
                    found.append(InvalidReceipt(NOT_KEPT) if gone else known)
                elif mark in counted:
                    found.append(of_input(application, item, now_ms=now_ms))
                else:
                    asking = predict(
                        application,
                        item,
                        policy=policy,
                        now_ms=now_ms,
                        predict_arms=predict_arms,
                        limit=limit,
                        costs=costs,
                    )
                    found.append(group.create_task(asking))
        return [one.result() if isinstance(one, asyncio.Task) else one for one in found]

    def _verified(
        self, application: ApplicationSpec, item: FeedbackItem | ClipperError, now_ms: int
    ) -> Receipt | None:
        """Return the receipt of an item; None of a labelled input."""
        if isinstance(item, ClipperError) or not isinstance(item.query_id, str):
            return None
        receipt = self._signer.verify(item.query_id)
        if receipt.application_id != application.id:
            raise InvalidReceipt("query_id: issued for another application")
        # A window made longer since doesn't count: the receipt's mark may have expired already.
        window_s = min(application.feedback_window_s, receipt.window_s or math.inf)
        if now_ms - receipt.issued_at_ms > window_s * 1000:
            self._note_expired(application)
            raise ExpiredReceipt(f"query_id: older than the feedback window of {window_s} s")
        return receipt

    async def _stored_outputs(self, receipts: Iterable[Receipt]) -> dict[bytes, dict[str, bytes]]:
        async with redis_needed():
            return await self._outputs.fetch(r.nonce for r in receipts if r.stored)

    # --- update: what it teaches --------------------------------------------------------------

    def _update_of(
        self,
        application: ApplicationSpec,
        item: FeedbackItem | ClipperError,
        prediction: Joined,
        arms: Mapping[str, float],
        now_ms: int,
    ) -> JournalUpdate:
        if isinstance(prediction, ClipperError):
            raise prediction
        assert isinstance(item, FeedbackItem)  # noqa: S101 - an error is its own prediction
        receipt = prediction.receipt
        prices = prices_of(receipt, application=application)
        losses = {
            arm: min(loss + sum(prices.get(arm, FREE)), 1.0)
            for arm, loss in losses_of(prediction, item=item, application=application).items()
        }
        update = answer = None
        if losses and not receipt.forced:
            answer = answer_seen(
                {record.arm: record.output for record in receipt.arms},
                label=bytes(item.label),
                promised=application.max_wrong_share is not None,
                prepared=lambda: self._store.peek(application, context=receipt.context, arms=arms),
                how=application.combine,
                judge=loss_of(application),
            )
            update = self._store.policy(application).update(
                arms=arms,
                losses=losses,
                propensities={record.arm: record.propensity for record in receipt.arms},
                features=receipt.features,
                at_ms=now_ms,
                key=receipt.key,
                overlap=receipt.overlap,
                answer=answer,
            )
        label = bytes(item.label)
        return JournalUpdate(
            mark=prediction.mark,
            update=update,
            window_s=receipt.window_s or application.feedback_window_s,
            context_ttl_s=application.context_ttl_s,
            max_contexts=application.max_contexts,
            event=FeedbackEvent(
                application_id=application.id,
                context=receipt.context,
                nonce=receipt.nonce.hex(),
                issued_at_ms=receipt.issued_at_ms,
                received_at_ms=now_ms,
                kind=prediction.kind,
                label=label.decode() if label else None,
                reward=item.mean_reward(),
                arms=tuple(
                    _outcome(record, losses.get(record.arm), prices.get(record.arm, FREE))
                    for record in receipt.arms
                ),
                forced=receipt.forced,
                routed=() if update is None else tuple(arms),
                features=receipt.features,
                key=receipt.key,
                metrics=item.metrics,
                held_out=receipt.held_out,
                overlap=receipt.overlap,
                defaulted=receipt.defaulted,
                answer=answer,
            ),
        )


def _outcome(record: ArmRecord, loss: float | None, price: Price) -> ArmOutcome:
    output = None if record.output is None else record.output.decode(errors="replace")
    return ArmOutcome(record.arm, record.propensity, output, loss, *price)


def _attempt(function: Callable[..., T], *arguments: object) -> T | ClipperError:
    try:
        return function(*arguments)
    except ClipperError as error:
        return error
