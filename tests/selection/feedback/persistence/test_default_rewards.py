"""A prediction that nobody says anything about counts as its application's default reward, once."""

import asyncio
import logging
import os
import time
from dataclasses import dataclass, field
from typing import Any

import pytest
from msgspec import Raw
from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.feedback.default_rewards.due_receipts import Due, DueReceipts
from selection.feedback.default_rewards.settler import SETTLED_AT_ONCE, Settler
from selection.feedback.events import FeedbackItem, FeedbackResult
from selection.feedback.intake.service import FeedbackService
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.receipts import ArmRecord, Receipt, ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.testing import application_spec
from tests.redis_server import redis_server
from tests.selection.caller import ARMS, EXACT, events, losses, no_model
from tests.selection.eventually import eventually

WINDOW_S = 60
APP = application_spec(default_reward=0.5, feedback_window_s=WINDOW_S, policy_params=EXACT)


@dataclass
class Web:
    """A web process's parts for default rewards, with a clock that the test turns."""

    redis: Redis
    signer: ReceiptSigner
    applications: list[ApplicationSpec] = field(default_factory=lambda: [APP])
    now: float = field(default_factory=time.time)
    kept: int = 1000

    def __post_init__(self) -> None:
        store = SelectionStore(self.redis)
        self.due = DueReceipts(self.redis, kept=self.kept)
        self.service = FeedbackService(
            self.redis,
            signer=self.signer,
            store=store,
            outputs=OutputStore(self.redis),
            clock=lambda: self.now,
        )
        self.settler = Settler(
            self.due,
            service=self.service,
            signer=self.signer,
            applications=lambda: self.applications,
            arms=lambda application: ARMS,
            interval_s=0.01,
            clock=lambda: self.now,
        )

    def predict(
        self,
        *,
        outputs: tuple[bytes, bytes, bytes | None] = (b"7", b"7", b"1"),
        application: ApplicationSpec = APP,
        **changes: Any,
    ) -> str:
        """Answer a query and return its receipt."""
        receipt = Receipt(
            **{
                "nonce": os.urandom(12),
                "issued_at_ms": int(self.now * 1000),
                "application_id": application.id,
                "context": "",
                "arms": tuple(ArmRecord(a, 1, o) for a, o in zip(ARMS, outputs, strict=True)),
                **changes,
            }
        )
        token = self.signer.sign(receipt)
        self.due.add(application, token=token, issued_at_ms=receipt.issued_at_ms)
        return token

    async def label(self, token: str) -> FeedbackResult:
        item = FeedbackItem(query_id=token, label=Raw(b"7"))
        return await self.service.submit(APP, [item], arms=ARMS, predict_arms=no_model)

    async def written(self) -> None:
        await self.due.writer.stop()

    async def waiting(self) -> int:
        return await self.redis.zcard("clipper:due:1")


@pytest.fixture
def web(aredis: Redis, signer: ReceiptSigner) -> Web:
    return Web(aredis, signer)


async def test_after_the_feedback_window_it_counts_as_the_default_reward(
    web: Web, aredis: Redis
) -> None:
    web.predict()
    await web.written()
    assert await web.settler.settle() == 0
    web.now += WINDOW_S + 1
    assert await web.settler.settle() == 1
    assert await losses(aredis) == {
        "svm:2": 0.5, "tree:1": 0.5, "knn:1": 0.5
    }  # fmt: skip
    (event,) = await events(aredis)
    assert (event.kind, event.label, event.reward) == ("default", None, 0.5)
    assert [arm.loss for arm in event.arms] == [0.5] * 3
    assert await web.waiting() == 0


async def test_feedback_that_came_stands_and_the_default_is_its_duplicate(
    web: Web, aredis: Redis
) -> None:
    token = web.predict()
    await web.written()
    assert (await web.label(token)).accepted == 1
    web.now += WINDOW_S + 1
    assert await web.settler.settle() == 0
    assert len(await events(aredis)) == 1
    assert await web.waiting() == 0


async def test_an_arm_that_had_not_answered_keeps_its_own_loss(web: Web, aredis: Redis) -> None:
    web.predict(outputs=(b"7", b"7", None))
    await web.written()
    web.now += WINDOW_S + 1
    await web.settler.settle()
    (event,) = await events(aredis)
    assert [arm.loss for arm in event.arms] == [0.5, 0.5, 1.0]


async def test_killed_between_counting_and_forgetting_it_counts_once(
    web: Web, aredis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.predict()
    await web.written()
    web.now += WINDOW_S + 1

    async def killed(*args: int | list[Due]) -> None:
        raise asyncio.CancelledError

    with monkeypatch.context() as patched:
        patched.setattr(web.due, "remove", killed)
        with pytest.raises(asyncio.CancelledError):
            await web.settler.settle()
    assert await web.waiting() == 1
    assert await web.settler.settle() == 0
    assert len(await events(aredis)) == 1
    assert await web.waiting() == 0


async def test_two_processes_at_once_count_each_once(
    web: Web, aredis: Redis, signer: ReceiptSigner, redis_socket: str
) -> None:
    count = 2 * SETTLED_AT_ONCE + 50
    for _ in range(count):
        web.predict()
    await web.written()
    async with Redis(unix_socket_path=redis_socket) as other:
        second = Web(other, signer)
        web.now = second.now = web.now + WINDOW_S + 1
        counted = await asyncio.gather(web.settler.settle(), second.settler.settle())
    assert sum(counted) == count
    assert len(await events(aredis)) == count
    assert (await losses(aredis))["knn:1"] == 0.5 * count


async def test_what_survives_a_kill_of_redis_is_settled_once(signer: ReceiptSigner) -> None:
    with redis_server(durable=True) as server:
        async with Redis.from_url(server.url, retry=None) as client:
            web = Web(client, signer)
            for _ in range(20):
                web.predict()
            await web.written()
            web.now += WINDOW_S + 1
            assert await web.settler.settle() == 20
            server.kill()
            server.start()
            await client.connection_pool.disconnect()
            assert await web.settler.settle() == 0
            assert len(await events(client)) == 20


async def test_the_background_task_settles_and_goes_on_after_an_outage(
    signer: ReceiptSigner, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "selection.feedback")
    with redis_server(durable=True) as server:
        async with Redis.from_url(server.url, retry=None) as client:
            web = Web(client, signer)
            await web.due.writer.start()
            await web.settler.start()
            web.predict()
            await eventually(lambda: not web.due.waiting)
            server.kill()
            await eventually(lambda: "can't be settled" in caplog.text)
            web.predict()
            server.start()
            web.now += WINDOW_S + 1

            async def both() -> bool:
                return await client.xlen("clipper:feedback") == 2 and await web.waiting() == 0

            await eventually(lambda: "are settled again" in caplog.text)
            await eventually(both)
            await web.settler.stop()
            await web.due.writer.stop()


async def test_beyond_its_capacity_some_are_dropped_counted_and_logged(
    aredis: Redis, signer: ReceiptSigner, caplog: pytest.LogCaptureFixture
) -> None:
    web = Web(aredis, signer, kept=10)
    for _ in range(25):
        web.predict()
    await web.written()
    assert (await web.waiting(), web.due.dropped) == (10, 15)
    web.settler.report_dropped()
    web.settler.report_dropped()
    (record,) = caplog.records
    assert "get no default reward: too many, or too late count=15" in record.message


async def test_without_a_default_reward_any_more_nothing_is_settled(
    web: Web, aredis: Redis
) -> None:
    web.predict()
    await web.written()
    web.applications = [application_spec(feedback_window_s=WINDOW_S)]
    web.now += WINDOW_S + 1
    assert await web.settler.settle() == 0
    assert await events(aredis) == []


async def test_one_so_late_that_its_feedback_may_be_forgotten_is_dropped(
    web: Web, aredis: Redis
) -> None:
    web.predict()
    await web.written()
    web.now += WINDOW_S + SEEN_MARGIN_S
    assert await web.settler.settle() == 0
    assert (await web.waiting(), web.due.dropped, await events(aredis)) == (0, 1, [])


async def test_a_window_made_shorter_since_counts_nothing_twice(web: Web, aredis: Redis) -> None:
    long = application_spec(default_reward=0.5, feedback_window_s=10_000, policy_params=EXACT)
    web.predict(application=long)
    await web.written()
    web.now += 10_001
    assert await web.settler.settle() == 0
    assert web.due.dropped == 1


async def test_one_that_was_signed_with_another_secret_is_dropped(web: Web, aredis: Redis) -> None:
    web.due.add(APP, token="strange", issued_at_ms=0)
    web.predict()
    await web.written()
    web.now += WINDOW_S + 1
    assert await web.settler.settle() == 1
    assert (await web.waiting(), web.due.dropped) == (0, 1)
