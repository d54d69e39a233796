"""A caller that gives feedback on answered queries, and what that leaves in Redis."""

import os
import time
from collections.abc import Callable
from typing import Any, NoReturn

import msgspec
from msgspec import Raw
from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.feedback.events import FeedbackEvent, FeedbackItem, FeedbackResult
from selection.feedback.intake.service import FeedbackService
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from selection.store.redis_keys import unpack_vector
from serving.testing import application_spec

ARMS = {"svm:2": 1.0, "tree:1": 1.0, "knn:1": 1.0}
GLOBAL, ANN = "clipper:selection:1:", "clipper:selection:1:ann"
# Nothing fades, and a context takes over all of what is known for everybody: exact sums.
EXACT = {"decay": 0}
APP = application_spec(policy_params=EXACT)


async def no_model(application: ApplicationSpec, text: bytes) -> NoReturn:
    raise AssertionError("no arm should be asked")


class Caller:
    """An application's caller: holds receipts of answered queries and gives feedback on them."""

    def __init__(self, service: FeedbackService, signer: ReceiptSigner) -> None:
        self.service, self.signer = service, signer

    def receipt(
        self,
        *,
        context: str = "",
        outputs: Any = (b"7", b"7", b"1"),
        records: tuple[ArmRecord, ...] | None = None,
        **changes: Any,
    ) -> Receipt:
        if records is None:
            records = tuple(ArmRecord(a, 1, o) for a, o in zip(ARMS, outputs, strict=False))
        fields: dict[str, Any] = {
            "nonce": os.urandom(12),
            "issued_at_ms": int(time.time() * 1000),
            "application_id": 1,
            "context": context,
            "arms": records,
        }
        return Receipt(**(fields | changes))

    def label(self, value: bytes = b"7", **changes: Any) -> FeedbackItem:
        return FeedbackItem(query_id=self.signer.sign(self.receipt(**changes)), label=Raw(value))

    async def send(
        self,
        *items: FeedbackItem,
        application: ApplicationSpec = APP,
        predict_arms: Callable[..., Any] = no_model,
        arms: dict[str, float] = ARMS,
    ) -> FeedbackResult:
        return await self.service.submit(application, items, arms=arms, predict_arms=predict_arms)


async def losses(aredis: Redis, key: str = GLOBAL) -> dict[str, float]:
    """Return the losses that each arm has had."""
    return {
        arm: seen - rewarded
        for arm, (seen, rewarded, _) in (await sums(aredis, "rew", key)).items()
    }


async def sums(aredis: Redis, statistic: str, key: str = GLOBAL) -> dict[str, tuple[float, ...]]:
    prefix = f"{statistic}:"
    return {
        field.decode().removeprefix(prefix): unpack_vector(text)
        for field, text in (await aredis.hgetall(key)).items()
        if field.startswith(prefix.encode())
    }


async def events(aredis: Redis) -> list[FeedbackEvent]:
    return [
        msgspec.msgpack.decode(fields[b"event"], type=FeedbackEvent)
        for _, fields in await aredis.xrange("clipper:feedback")
    ]
