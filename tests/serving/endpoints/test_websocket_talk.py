"""Messages over a websocket, and their answers."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest

from core.decoding import LARGE_BODY_BYTES
from core.specs import Snapshot
from serving.testing import PlayedServing, application_spec
from tests.serving.endpoints.predictions.test_input_batches import Client, double_all
from tests.serving.endpoints.talking import talking


async def test_messages_without_a_key_are_refused_under_their_ids_and_the_socket_stays_open() -> (
    None
):
    serving = PlayedServing(application_spec())
    serving.apply(Snapshot())
    async with talking(serving) as socket:
        for number in (1, 2):
            socket.say(json.dumps({"id": number, "input": [1.0]}))
            answer = await socket.answer()
            assert (answer["id"], answer["code"]) == (number, "unauthenticated")


async def test_a_large_batch_is_cut_and_answered_under_its_id() -> None:
    """Longer than what is parsed at once; its inputs are in the middle of its fields."""
    client = Client(public=True)
    rows = [[n] * 300 for n in range(100)]
    message = json.dumps({"id": 7, "input_batch": rows, "context": "a"})
    assert len(message) > LARGE_BODY_BYTES
    async with talking(client.serving) as socket:
        socket.say(message)
        answering = asyncio.create_task(socket.answer())
        while not answering.done():
            while client.replica.batches:
                double_all(client.replica)
            await asyncio.sleep(0)
    answer = answering.result()
    assert (answer["id"], answer["type"]) == (7, "prediction")
    assert [item["output"] for item in answer["batch_predictions"]] == [2 * n for n in range(100)]


async def asked_in_bytes(message: str | bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Return what an application of bytes answers, and what its model was asked."""
    client = Client(public=True, input_type="bytes")
    inputs: list[bytes] = []
    async with talking(client.serving) as socket:
        socket.say(message)
        answering = asyncio.create_task(socket.answer())
        while not answering.done():
            while client.replica.batches:
                inputs = list(client.replica.batches[0][1])
                client.replica.answer(dict.fromkeys(inputs, b"7"))
            await asyncio.sleep(0)
    return answering.result(), inputs


@pytest.mark.parametrize("content", [b"\x89PNG\n\x00\xff", b'{"id": 9}', b"\n\n."])
async def test_a_binary_message_is_a_line_of_fields_and_the_input_as_it_is(content: bytes) -> None:
    answer, inputs = await asked_in_bytes(b'{"id": 4, "context": "a"}\n' + content)
    assert (answer["id"], answer["type"], answer["output"]) == (4, "prediction", 7)
    assert inputs == [b'"' + base64.b64encode(content) + b'"']


@pytest.mark.parametrize(
    "message", ['{"id": 4, "input": "aGk="}\n', '{\n"id": 4,\n"input": "aGk="}']
)
async def test_one_that_is_json_as_a_whole_is_taken_as_that(message: str) -> None:
    answer, inputs = await asked_in_bytes(message.encode())
    assert (answer["id"], inputs) == (4, [b'"aGk="'])


async def test_one_that_is_bytes_alone_is_told_what_is_missing() -> None:
    answer, inputs = await asked_in_bytes(b"\x89PNG\n\x00\xff")
    assert (answer["code"], inputs) == ("malformed", [])
    assert answer["error"] == 'Expected a first line such as {"id": 1}, and after it the bytes.'
