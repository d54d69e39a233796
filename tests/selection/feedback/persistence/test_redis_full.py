"""Redis at its limit of memory, for real: what is refused, what goes on, and how it ends."""

import os
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from core.errors import Unavailable
from core.specs import ApplicationSpec
from selection.feedback.default_rewards.due_receipts import DueReceipts, outputs_ttl_s
from selection.feedback.events import FeedbackItem
from selection.feedback.intake.service import FeedbackService
from selection.receipts import ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.metrics.redis_memory import MemoryWatch, RedisMemory
from serving.testing import application_spec
from tests.redis_server import redis_server

ARMS = {"svm:1": 1.0}
MEGABYTE = 1 << 20


@pytest.fixture
async def client() -> AsyncIterator[Redis]:
    with redis_server() as server:
        async with Redis.from_url(server.url) as client:
            used = (await client.info("memory"))["used_memory"]
            await client.config_set("maxmemory", used + 8 * MEGABYTE)
            yield client


async def fill(client: Redis, *, share: float) -> None:
    """Use that share of what is allowed, by what the server itself says: allocators round up."""
    number = 0
    while (info := await client.info("memory"))["used_memory"] < info["maxmemory"] * share:
        await client.set(f"ballast:{number}", os.urandom(50_000))
        number += 1


async def free(client: Redis) -> None:
    await client.delete(*[key async for key in client.scan_iter("ballast:*")])


def service_of(client: Redis) -> FeedbackService:
    return FeedbackService(
        client,
        signer=ReceiptSigner(b"secret"),
        store=SelectionStore(client),
        outputs=OutputStore(client),
    )


async def submit(service: FeedbackService) -> int:
    async def predict(application: ApplicationSpec, input: bytes) -> dict[str, bytes]:
        return {"svm:1": b"1"}

    item = FeedbackItem(input=b"[1]", label=b"1")  # type: ignore[arg-type]  # raw JSON is bytes
    result = await service.submit(application_spec(), [item], arms=ARMS, predict_arms=predict)
    return result.accepted


async def test_near_the_limit_it_is_short_and_what_keeps_the_cluster_alive_is_still_written(
    client: Redis,
) -> None:
    watch = MemoryWatch(client)
    assert not (await watch.look()).is_short
    await fill(client, share=0.92)
    memory = await watch.look()
    assert memory.is_short
    assert "feedback is refused" in memory.words()
    assert await client.set("clipper:replica:x", "a heartbeat", ex=3)
    await free(client)
    assert not (await watch.look()).is_short


async def test_feedback_is_refused_clearly_near_the_limit_and_taken_again_below_it(
    client: Redis,
) -> None:
    service = service_of(client)
    assert await submit(service) == 1
    service.paused = True
    with pytest.raises(Unavailable, match="no memory left for feedback") as refused:
        await submit(service)
    assert refused.value.retry_after_s > 1
    service.paused = False
    assert await submit(service) == 1


async def test_at_the_limit_itself_feedback_is_refused_and_nothing_of_it_is_kept(
    client: Redis,
) -> None:
    service = service_of(client)
    await client.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await client.set("anything", "1")
    with pytest.raises(Unavailable, match="refuses to write"):
        await submit(service)
    assert await client.exists("clipper:feedback") == 0
    await client.config_set("maxmemory", 0)
    assert await submit(service) == 1


async def test_outputs_wait_at_the_limit_and_are_written_afterwards(client: Redis) -> None:
    outputs = OutputStore(client)
    await client.config_set("maxmemory", 1)
    outputs.keep(b"1", outputs={"svm:1": b"[1]"}, ttl_s=60)
    await outputs.writer.stop()
    assert await outputs.fetch([b"1"]) == {b"1": {"svm:1": b"[1]"}}
    await client.config_set("maxmemory", 0)
    await outputs.writer.stop()
    assert await OutputStore(client).fetch([b"1"]) == {b"1": {"svm:1": b"[1]"}}


async def test_no_default_reward_is_promised_near_the_limit(client: Redis) -> None:
    due = DueReceipts(client)
    due.paused = True
    due.add(application_spec(default_reward=0.5), token="t", issued_at_ms=1)
    assert due.dropped == 1


def test_no_limit_at_all_is_said() -> None:
    assert "maxmemory 0" in RedisMemory(used_bytes=1, max_bytes=0).words()
    assert RedisMemory(used_bytes=1, max_bytes=1000).words() == ""


@pytest.mark.parametrize(
    ("changes", "ttl_s"),
    [
        ({}, 3600),
        ({"keep_outputs_s": 0}, 0),
        ({"keep_outputs_s": 600}, 600),
        ({"keep_outputs_s": 86_400, "feedback_window_s": 7200}, 7200),
        ({"keep_outputs_s": 600, "feedback_window_s": 7200, "default_reward": 0.5}, 10_800),
        ({"keep_outputs_s": 0, "default_reward": 0.5}, 0),
    ],
)
def test_outputs_are_kept_as_long_as_the_application_says_but_no_longer_than_of_use(
    changes: dict[str, int], ttl_s: int
) -> None:
    assert outputs_ttl_s(application_spec(**changes)) == ttl_s
