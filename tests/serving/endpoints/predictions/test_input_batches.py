"""An `input_batch` of any length: each input is answered for itself, in order."""

import asyncio
import json
from contextlib import suppress
from math import inf
from time import monotonic
from typing import Any

import msgspec
import pytest

from core.specs import ApplicationSpec
from serving.endpoints.predictions.predict import answer
from serving.endpoints.predictions.predict_request import PredictRequest
from serving.rpc.frames.codec import Answer, AnswerStatus
from serving.testing import (
    PlayedReplica,
    PlayedServing,
    application_spec,
    batch_by,
    connect,
    routes_to,
    teach,
    turn,
)

ROWS = 4


class Client:
    """Sends bodies to one application, whose only model takes four rows at a time."""

    def __init__(
        self,
        *,
        queue_capacity: int = 10_000,
        slice_s: float = inf,
        slo_ms: float = 60_000.0,
        **changes: Any,
    ) -> None:
        spec = application_spec(slo_ms=slo_ms, routes=routes_to(1), **changes)
        self.serving = PlayedServing(spec, queue_capacity=queue_capacity, slice_s=slice_s)
        batch_by(self.serving.engine, rows=ROWS)
        self.replica = connect(self.serving.engine)

    def send(
        self, inputs: list[Any], *, application: ApplicationSpec | None = None, **fields: Any
    ) -> asyncio.Task[bytes]:
        raw = [msgspec.Raw(json.dumps(input).encode()) for input in inputs]
        return asyncio.create_task(
            answer(
                self.serving.runtime,
                application=application or self.serving.application,
                request=PredictRequest(input_batch=raw, **fields),
                arrived=monotonic(),
            )
        )


@pytest.fixture
def client() -> Client:
    return Client()


def double_all(replica: PlayedReplica) -> None:
    """Answer a batch with twice each input's number."""
    inputs = replica.batches[0][1]
    replica.answer({input: b"%d" % (2 * json.loads(input)[0]) for input in inputs})


async def answers(sent: asyncio.Task[bytes], *, replica: PlayedReplica) -> list[dict[str, Any]]:
    """Return the answer, once the replica has answered all it was sent."""
    await turn()
    while replica.batches:
        double_all(replica)
        await turn()
    async with asyncio.timeout(30):
        return json.loads(await sent)["batch_predictions"]


async def computed_for_one_who_leaves(sent: asyncio.Task[bytes], *, replica: PlayedReplica) -> int:
    """Return the number of rows computed for a batch that is cancelled once it has begun."""
    await turn()
    sent.cancel()
    with suppress(asyncio.CancelledError):
        await sent
    computed = 0
    while replica.batches:
        computed += replica.sizes[0]
        double_all(replica)
        await turn()
    return computed


def outputs(items: list[dict[str, Any]]) -> list[Any]:
    return [item["output"] for item in items]


@pytest.mark.parametrize("length", [1, ROWS, ROWS + 1, 10, 1000])
async def test_it_is_split_and_answered_in_order(client: Client, length: int) -> None:
    items = await answers(client.send([[n] for n in range(length)]), replica=client.replica)
    assert outputs(items) == [2 * n for n in range(length)]


async def test_callers_share_batches_and_each_gets_its_own_rows_in_order(client: Client) -> None:
    sent = [client.send([[10 * caller + n] for n in range(5)]) for caller in range(4)]
    received = [await answers(one, replica=client.replica) for one in sent]
    for caller, items in enumerate(received):
        assert outputs(items) == [2 * (10 * caller + n) for n in range(5)]


async def test_one_bad_input_fails_alone_and_in_its_place(client: Client) -> None:
    items = await answers(client.send([[0], "no numbers", [2]]), replica=client.replica)
    assert [item.get("code") for item in items] == [None, "invalid_input", None]
    assert [item.get("output") for item in items] == [0, None, 4]


async def test_an_input_that_the_model_refuses_fails_alone(client: Client) -> None:
    sent = client.send([[0], [1], [2]])
    await turn()
    client.replica.answer_with(
        Answer(AnswerStatus.OK, b"0"),
        Answer(AnswerStatus.INVALID_INPUT, b"expected 64 numbers, got 1"),
        Answer(AnswerStatus.OK, b"4"),
    )
    items = await answers(sent, replica=client.replica)
    assert [item.get("code") for item in items] == [None, "invalid_input", None]
    assert items[1]["error"] == "input: expected 64 numbers, got 1"


async def test_the_rows_that_the_model_has_no_time_for_get_the_default(client: Client) -> None:
    teach(client.replica, per_row=6.0)
    items = await answers(client.send([[n] for n in range(20)]), replica=client.replica)
    in_time = [not item["default"] for item in items]
    assert in_time == [n < 8 for n in range(20)]
    assert outputs(items) == [2 * n if n < 8 else -1 for n in range(20)]


async def test_a_long_one_leaves_another_application_its_turns(client: Client) -> None:
    other = application_spec(id=8, name="other", slo_ms=60_000.0, routes=routes_to(1))
    client.serving.route(other)
    long = client.send([[n] for n in range(100)])
    await turn()
    short = client.send([[n] for n in range(1000, 1004)], application=other)
    await turn()
    for _ in range(4):  # two were on their way already; the next two are shared evenly
        double_all(client.replica)
        await turn()
    assert outputs(json.loads(await short)["batch_predictions"]) == [2000, 2002, 2004, 2006]
    assert not long.done()
    assert len(await answers(long, replica=client.replica)) == 100


async def test_a_caller_that_leaves_does_not_disturb_the_others(client: Client) -> None:
    leaver = client.send([[n] for n in range(10)])
    stayer = client.send([[n] for n in range(5, 15)])
    await turn()
    leaver.cancel()
    await asyncio.gather(leaver, return_exceptions=True)
    assert outputs(await answers(stayer, replica=client.replica)) == [2 * n for n in range(5, 15)]
    assert not client.serving.engine.joinable


async def test_each_row_has_a_receipt_of_its_own_to_give_feedback_on(client: Client) -> None:
    items = await answers(client.send([[n] for n in range(5)]), replica=client.replica)
    receipts = [client.serving.signer.verify(item["query_id"]) for item in items]
    assert len({receipt.nonce for receipt in receipts}) == 5
    assert [receipt.arms[0].output for receipt in receipts] == [b"0", b"2", b"4", b"6", b"8"]


@pytest.mark.parametrize("models", [True, False])
async def test_an_answer_says_what_each_model_said_unless_it_is_left_out(
    client: Client, models: bool
) -> None:
    (item,) = await answers(client.send([[2]], models=models), replica=client.replica)
    assert item["output"] == 4
    assert ("models" in item) is models
