"""Fixtures of selection's tests: a flushed Redis and an application to learn for."""

from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.feedback.intake.service import FeedbackService
from selection.receipts import ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.testing import application_spec
from tests.selection.caller import Caller


@pytest.fixture
def application() -> ApplicationSpec:
    return application_spec()


@pytest.fixture
def stream(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        yield client


@pytest.fixture
async def aredis(stream: redis.Redis, redis_socket: str) -> AsyncIterator[Redis]:
    async with Redis(unix_socket_path=redis_socket) as client:
        yield client


@pytest.fixture
async def store(aredis: Redis) -> AsyncIterator[SelectionStore]:
    """A started store that reads copies anew as often as it can."""
    store = SelectionStore(aredis, refresh_interval_s=0.0, flush_interval_s=0.01)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def outputs(aredis: Redis) -> AsyncIterator[OutputStore]:
    outputs = OutputStore(aredis)
    await outputs.writer.start()
    yield outputs
    await outputs.writer.stop()


@pytest.fixture
def signer() -> ReceiptSigner:
    return ReceiptSigner(b"a secret of thirty-two bytes ...")


@pytest.fixture
def caller(service: FeedbackService, signer: ReceiptSigner) -> Caller:
    return Caller(service, signer)


@pytest.fixture
def service(
    aredis: Redis, signer: ReceiptSigner, store: SelectionStore, outputs: OutputStore
) -> FeedbackService:
    return FeedbackService(aredis, signer=signer, store=store, outputs=outputs)
