"""Counts predictions that nobody said anything about as their application's default reward.

Every web process does it, through the journal, which counts a receipt once. A receipt is forgotten
only after it was counted, so that a process may be killed at any point.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Collection, Mapping, Sequence

from core.errors import InvalidReceipt, Unavailable
from core.log_once import LogOnce
from core.loop.background_tasks import end_tasks
from core.specs import ApplicationSpec
from selection.feedback.default_rewards.due_receipts import Due, DueReceipts
from selection.feedback.intake.service import FeedbackService
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.receipts import Receipt, ReceiptSigner
from selection.store.redis_keys import REDIS_ERRORS

SETTLED_AT_ONCE = 200

logger = logging.getLogger(__name__)


class Settler:
    """Settles what is due, application by application. `arms` are those routed now, weighted."""

    def __init__(
        self,
        due: DueReceipts,
        *,
        service: FeedbackService,
        signer: ReceiptSigner,
        applications: Callable[[], Collection[ApplicationSpec]],
        arms: Callable[[ApplicationSpec], Mapping[str, float]],
        interval_s: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._due = due
        self._service = service
        self._signer = signer
        self._applications = applications
        self._arms = arms
        self._interval = interval_s
        self._clock = clock
        self._reported = 0
        self._task: asyncio.Task[None] | None = None
        self._log_once = LogOnce(
            logger,
            away="predictions without feedback can't be settled, will try again",
            back="predictions without feedback are settled again",
        )

    async def start(self) -> None:
        self._task = asyncio.create_task(self._settle_forever(), name="selection.settler")

    async def stop(self) -> None:
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None

    async def settle(self) -> int:
        """Count all that is due now and return how many that was; errors of Redis come through."""
        counted = 0
        for application in list(self._applications()):
            reward = application.default_reward
            if reward is not None:
                counted += await self._settle_one(application, reward=reward)
        return counted

    async def _settle_forever(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.settle()
            except (Unavailable, *REDIS_ERRORS) as error:
                self._log_once.began(error)
            except Exception:
                logger.exception("predictions without feedback were not settled, will try again")
            else:
                self._log_once.ended()
            self.report_dropped()

    def report_dropped(self) -> None:
        """Log how many more have been dropped since the last time, if any were."""
        dropped = self._due.dropped
        if dropped > self._reported:
            logger.warning(
                "predictions get no default reward: too many, or too late count=%d",
                dropped - self._reported,
            )
        self._reported = dropped

    async def _settle_one(self, application: ApplicationSpec, *, reward: float) -> int:
        counted, found = 0, SETTLED_AT_ONCE
        while found == SETTLED_AT_ONCE:
            now_ms = int(self._clock() * 1000)
            due = await self._due.over(application.id, now_ms=now_ms, most=SETTLED_AT_ONCE)
            found = len(due)
            receipts = self._readable(application, due, now_ms=now_ms)
            self._due.dropped += found - len(receipts)
            if receipts:
                counted += await self._service.settle(
                    application, receipts, reward=reward, arms=self._arms(application)
                )
            await self._due.remove(application.id, due)
        return counted

    def _readable(
        self, application: ApplicationSpec, due: Sequence[Due], *, now_ms: int
    ) -> list[Receipt]:
        """Return the receipts that can still be counted."""
        receipts = []
        for waiting in due:
            try:
                receipt = self._signer.verify(waiting.token)
            except InvalidReceipt:  # signed with a secret that was replaced since
                continue
            # If the window was made shorter since, marks live shorter too.
            window_s = receipt.window_s or application.feedback_window_s
            over_ms = min(waiting.at_ms, receipt.issued_at_ms + window_s * 1000)
            # Later, the mark of feedback that did come might be gone, and it would count twice.
            if now_ms - over_ms <= (SEEN_MARGIN_S - 300) * 1000:
                receipts.append(receipt)
        return receipts
