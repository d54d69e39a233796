"""A request of many items keeps nobody waiting for long, and counts as one of few does."""

import pytest
from redis.asyncio import Redis

from core.errors import Unavailable
from core.loop.loop_slices import Turns
from selection.feedback.intake.service import FeedbackService
from selection.feedback.persistence.journal import WRITTEN_AT_ONCE
from selection.receipts import ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from tests.selection.caller import ANN, Caller, events


async def test_a_large_request_counts_in_its_order(
    service: FeedbackService, signer: ReceiptSigner, aredis: Redis
) -> None:
    caller = Caller(service, signer)
    count = 2 * WRITTEN_AT_ONCE + 1
    items = [caller.label() for _ in range(count)]
    result = await caller.send(*items, items[0])
    assert (result.accepted, result.duplicates) == (count, 1)
    nonces = [signer.verify(str(item.query_id)).nonce.hex() for item in items]
    assert [event.nonce for event in await events(aredis)] == nonces


async def test_what_redis_refuses_one_of_keeps_none_of_the_others_from_counting(
    service: FeedbackService, signer: ReceiptSigner, aredis: Redis
) -> None:
    caller = Caller(service, signer)
    items = [caller.label() for _ in range(3 * WRITTEN_AT_ONCE)]
    items[WRITTEN_AT_ONCE] = caller.label(context="ann")
    await aredis.hset(ANN, "rew:svm:2", b"none")
    for _ in range(2):
        with pytest.raises(Unavailable):
            await caller.send(*items)
        assert len(await events(aredis)) == len(items) - 1
    await aredis.delete(ANN)
    result = await caller.send(*items)
    assert (result.accepted, result.duplicates) == (1, len(items) - 1)


class CountedTurns(Turns):
    """Those of a loop, counted."""

    taken = 0

    async def next(self) -> None:
        self.taken += 1
        await super().next()


@pytest.mark.parametrize(("slice_s", "most"), [(0.0, 100), (1000.0, 0)])
async def test_what_a_large_request_teaches_is_worked_out_in_slices(
    slice_s: float,
    most: int,
    aredis: Redis,
    signer: ReceiptSigner,
    store: SelectionStore,
    outputs: OutputStore,
) -> None:
    turns = CountedTurns(slice_s=slice_s)
    service = FeedbackService(aredis, signer=signer, store=store, outputs=outputs, turns=turns)
    caller = Caller(service, signer)
    assert (await caller.send(*(caller.label() for _ in range(50)))).accepted == 50
    # A receipt to verify and a label to learn from, for each.
    assert turns.taken == most
