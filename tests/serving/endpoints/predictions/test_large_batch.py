"""A large batch: the models answer all of it, behind everybody else and a slice at a time."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from time import monotonic
from typing import Any

import pytest

from core.errors import Saturated
from serving.query import large_batches
from serving.query.budget import LONGEST_BATCH_MS, SMALL_BATCH, batch_objective_ms
from serving.query.large_batches import LEAST_OPEN, MAX_LARGE_BATCHES, allowance_for
from serving.testing import PlayedServing, application_spec, teach, turn
from tests.serving.endpoints.predictions.test_input_batches import (
    Client,
    answers,
    computed_for_one_who_leaves,
    double_all,
    outputs,
)

LARGE = 3 * SMALL_BATCH


def numbers(count: int, *, first: int = 0) -> list[list[int]]:
    return [[n] for n in range(first, first + count)]


async def answered(sent: asyncio.Task[bytes], *, client: Client) -> list[dict[str, Any]]:
    """Return the answer to a batch that has to wait for room now and then."""
    async with asyncio.timeout(30):
        while not sent.done():
            while client.replica.batches:
                double_all(client.replica)
                await turn()
            await asyncio.sleep(0.001)
    return json.loads(await sent)["batch_predictions"]


async def test_all_of_it_is_answered_though_it_takes_many_times_the_objective() -> None:
    """A row takes a tenth of the objective: 200 rows take twenty of them."""
    client = Client(slo_ms=500.0)
    teach(client.replica, per_row=0.05)
    items = await answers(client.send(numbers(200)), replica=client.replica)
    assert outputs(items) == [2 * n for n in range(200)]
    assert not any(item["default"] for item in items)


async def test_no_more_than_its_window_is_open_at_once() -> None:
    client = Client()
    sent = client.send(numbers(LARGE))
    open_rows = []
    await turn()
    while client.replica.batches:
        open_rows.append(client.replica.replica.load)
        double_all(client.replica)
        await turn()
    assert len(json.loads(await sent)["batch_predictions"]) == LARGE
    assert max(open_rows) <= LEAST_OPEN


async def test_a_single_query_goes_before_it() -> None:
    client = Client()
    sent = client.send(numbers(LARGE))
    await turn()
    single = client.serving.begin(input=b"[1000]", arrived=monotonic())
    double_all(client.replica)  # one of two that were on their way
    await turn()
    assert b"[1000]" in client.replica.batches[1][1]
    await answers(sent, replica=client.replica)
    assert single.prediction().output == b"2000"


async def test_a_single_query_finds_room_in_a_queue_full_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(large_batches, "REFUSED_PAUSE_S", 0.001)
    client = Client(queue_capacity=16)
    client.replica.writable = False
    sent = client.send(numbers(LARGE))
    await turn()
    assert client.replica.replica.waiting == 16
    single = client.serving.begin(input=b"[1000]", arrived=monotonic())
    client.replica.writable = True
    client.replica.replica.on_writable()
    items = await answered(sent, client=client)
    assert single.prediction().output == b"2000"
    assert outputs(items) == [2 * n for n in range(LARGE)]


async def test_what_finds_no_room_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_batches, "REFUSED_PAUSE_S", 0.001)
    client = Client(queue_capacity=4)
    before = [client.serving.begin(input=b"[%d]" % n) for n in range(1000, 1012)]
    sent = client.send(numbers(LARGE))
    await turn()
    assert client.serving.engine.stats[1].saturated > 0
    assert outputs(await answered(sent, client=client)) == [2 * n for n in range(LARGE)]
    assert all(query.gather.answered for query in before)


class Ticker:
    """Counts the turns of the loop."""

    def __init__(self) -> None:
        self.turns = 0

    async def count(self) -> None:
        while True:
            self.turns += 1
            await asyncio.sleep(0)


@pytest.fixture
async def ticker() -> AsyncIterator[Ticker]:
    made = Ticker()
    task = asyncio.create_task(made.count())
    yield made
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


async def test_others_have_their_turns_between_its_pieces(ticker: Ticker) -> None:
    client = Client(slice_s=0.0)
    await answered(client.send(numbers(LARGE)), client=client)
    before = ticker.turns
    await client.send(numbers(LARGE))  # all from the cache
    assert ticker.turns - before >= 2 * LARGE  # asked, and rendered


async def test_a_cancelled_one_asks_nothing_more() -> None:
    client = Client()
    sent = client.send(numbers(LARGE))
    # Two batches were sent.
    assert await computed_for_one_who_leaves(sent, replica=client.replica) == 8
    assert client.serving.metrics.of_application("digits").abandoned == LEAST_OPEN
    assert not client.serving.engine.joinable


async def test_one_too_many_at_once_is_refused() -> None:
    client = Client()
    sent = [client.send(numbers(LARGE, first=1000 * n)) for n in range(MAX_LARGE_BATCHES)]
    await turn()
    with pytest.raises(Saturated):
        await client.send(numbers(LARGE))
    for one in sent:
        assert len(await answers(one, replica=client.replica)) == LARGE
    assert len(await answers(client.send(numbers(LARGE)), replica=client.replica)) == LARGE


async def test_a_row_within_its_batchs_objective_does_not_count_as_late() -> None:
    serving = PlayedServing(application_spec(slo_ms=1_000.0))
    stats = serving.metrics.of_application("digits")
    arrived = monotonic() - 2.0
    serving.begin(arrived=arrived).prediction()
    assert (stats.queries, stats.late) == (1, 1)
    allowance = allowance_for(
        serving.application,
        options=serving.router.arms(serving.application).options,
        inputs=100,
        arrived=arrived,
        timeout_ms=None,
    )
    serving.begin(arrived=arrived, allowance=allowance).prediction()
    assert (stats.queries, stats.late) == (2, 1)


async def test_its_caller_may_shorten_its_time() -> None:
    client = Client()
    sent = client.send(numbers(LARGE), timeout_ms=1.0)
    async with asyncio.timeout(30):
        items = json.loads(await sent)["batch_predictions"]
    assert [item["default"] for item in items] == [True] * LARGE


def test_a_large_one_has_an_objective_for_each_input_and_a_small_one_has_one() -> None:
    assert batch_objective_ms(50.0, inputs=SMALL_BATCH) == 50.0
    assert batch_objective_ms(50.0, inputs=100) == 5_000.0
    assert batch_objective_ms(50.0, inputs=10_000) == LONGEST_BATCH_MS
    assert batch_objective_ms(90_000.0, inputs=10_000) == 90_000.0
