"""Feedback is acknowledged once the replicas of Redis that were asked for have it."""

import asyncio
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import redis
from redis.asyncio import Redis

from clipper_site.stack.layout import free_port
from core.errors import Unavailable
from core.redis.async_redis import REDIS_CONNECTIONS, bounded_redis
from selection.feedback.persistence.journal import FeedbackJournal
from selection.policies import make_policy
from selection.store import replication
from selection.store.redis_keys import STREAM
from selection.store.replication import replicated, replicated_blocking
from tests.redis_server import RedisServer, redis_server
from tests.selection.updates import feedback_update

EXP4 = make_policy("exp4", {})
REPLICATED_WITHIN_S = 20.0
# One that is there answers by then on a busy machine too; for one that is not, a moment will do.
PATIENT_MS, SHORT_MS = 20_000, 200


@dataclass
class Pair:
    """A Redis and its replica."""

    primary: RedisServer
    replica: RedisServer


@pytest.fixture(scope="module")
def pair() -> Iterator[Pair]:
    port = str(free_port())
    # Without disk, and at once: a first copy would wait for more replicas otherwise.
    at_once = ("--repl-diskless-sync", "yes", "--repl-diskless-sync-delay", "0")
    with (
        redis_server(options=("--port", port, "--bind", "127.0.0.1", *at_once)) as primary,
        redis_server(options=("--replicaof", "127.0.0.1", port)) as replica,
    ):
        yield Pair(primary, replica)


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replication, "WAIT_MS", PATIENT_MS)


@contextmanager
def too_few(*, of: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Expect that fewer than so many replicas answer."""
    with monkeypatch.context() as soon:
        soon.setattr(replication, "WAIT_MS", SHORT_MS)
        with pytest.raises(Unavailable, match=rf"\d of {of} replicas"):
            yield


@pytest.fixture
def in_step(pair: Pair) -> Pair:
    with redis.Redis.from_url(pair.replica.url) as client:
        deadline = time.monotonic() + REPLICATED_WITHIN_S
        while client.info("replication")["master_link_status"] != "up":
            assert time.monotonic() < deadline, "the replica never followed"
            time.sleep(0.02)
    return pair


async def test_what_was_acknowledged_is_on_the_replica(in_step: Pair) -> None:
    async with Redis.from_url(in_step.primary.url) as client:
        journal = FeedbackJournal(client, replicas=1)
        for number in range(1, 21):
            await journal.append([feedback_update(EXP4, {"svm:2": 1.0})])
            with redis.Redis.from_url(in_step.replica.url) as replica:
                assert replica.xlen(STREAM) == number


async def test_where_too_few_have_it_it_is_to_be_sent_again_and_waits_again(
    in_step: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Redis.from_url(in_step.primary.url) as client:
        one = feedback_update(EXP4, {"svm:2": 1.0})
        before = await client.xlen(STREAM)
        with too_few(of=2, monkeypatch=monkeypatch):
            await FeedbackJournal(client, replicas=2).append([one])
        with too_few(of=2, monkeypatch=monkeypatch):
            await FeedbackJournal(client, replicas=2).append([one])
        assert await FeedbackJournal(client, replicas=1).append([one]) == [None]
        assert await client.xlen(STREAM) == before + 1


def test_what_may_wait_waits_likewise(in_step: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    with redis.Redis.from_url(in_step.primary.url) as client:
        client.set("reset", "1")
        replicated_blocking(client, replicas=1)
        with redis.Redis.from_url(in_step.replica.url) as replica:
            assert replica.exists("reset")
        with too_few(of=2, monkeypatch=monkeypatch):
            replicated_blocking(client, replicas=2)


async def test_no_connection_speaks_for_what_another_wrote(
    in_step: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WAIT may come by a connection that wrote nothing, and a duplicate writes nothing at all."""
    async with (
        Redis.from_url(in_step.primary.url) as client,
        Redis.from_url(in_step.primary.url) as other,
    ):
        await replicated(other, replicas=1)
        with in_step.replica.stopped():
            one = feedback_update(EXP4, {"svm:2": 1.0})
            await FeedbackJournal(client).append([one])
            with too_few(of=1, monkeypatch=monkeypatch):
                await replicated(other, replicas=1)
            with too_few(of=1, monkeypatch=monkeypatch):
                await FeedbackJournal(other, replicas=1).append([one])
        await replicated(other, replicas=1)


async def test_while_feedback_waits_for_replicas_redis_can_be_asked_for_more(
    in_step: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replication, "WAIT_MS", 40_000)
    async with (
        bounded_redis(in_step.primary.url) as client,
        Redis.from_url(in_step.primary.url) as other,
    ):
        journal, most = FeedbackJournal(client, replicas=1), REDIS_CONNECTIONS + 8
        counted = await other.xlen(STREAM) + most
        with in_step.replica.stopped():
            several = [
                asyncio.create_task(journal.append([feedback_update(EXP4, {"svm:2": 1.0})]))
                for _ in range(most)
            ]
            while await other.xlen(STREAM) < counted:
                await asyncio.sleep(0.01)
            while (await other.info("clients"))["blocked_clients"] < 8:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.1)  # for more to wait, if they could
            assert await client.ping()
            assert not any(task.done() for task in several)
        await asyncio.gather(*several)
