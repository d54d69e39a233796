"""The websocket by itself: it is built by its route, and needs no Redis to stay open."""

from __future__ import annotations

import asyncio
import base64
import json
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator

from core.decoding import LARGE_BODY_BYTES
from core.specs import Snapshot
from serving.api.websocket import ApplicationConsumer
from serving.testing import PlayedServing, application_spec
from tests.serving.test_input_batch import Client, double_all


def socket_of_an_empty_registry() -> ApplicationCommunicator:
    serving = PlayedServing(application_spec())
    serving.apply(Snapshot())
    return socket_to(serving)


def socket_to(serving: PlayedServing) -> ApplicationCommunicator:
    scope = {"type": "websocket", "headers": [], "url_route": {"kwargs": {"app": "digits"}}}
    return ApplicationCommunicator(ApplicationConsumer.as_asgi(runtime=serving.runtime), scope)


async def test_messages_without_a_key_are_refused_under_their_ids_and_the_socket_stays_open() -> (
    None
):
    socket = socket_of_an_empty_registry()
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output())["type"] == "websocket.accept"

    for number in (1, 2):
        message = json.dumps({"id": number, "input": [1.0]})
        await socket.send_input({"type": "websocket.receive", "text": message})
        answer = json.loads((await socket.receive_output())["text"])
        assert (answer["id"], answer["code"]) == (number, "unauthenticated")

    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()


async def test_a_large_batch_is_cut_and_answered_under_its_id() -> None:
    """Longer than what is parsed at once; its inputs are in the middle of its fields."""
    client = Client(public=True)
    socket = socket_to(client.serving)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output())["type"] == "websocket.accept"
    rows = [[n] * 300 for n in range(100)]
    message = json.dumps({"id": 7, "input_batch": rows, "context": "a"})
    assert len(message) > LARGE_BODY_BYTES

    await socket.send_input({"type": "websocket.receive", "text": message})
    answering = asyncio.create_task(socket.receive_output(timeout=20))
    while not answering.done():
        while client.replica.batches:
            double_all(client.replica)
        await asyncio.sleep(0)

    answer = json.loads(answering.result()["text"])
    assert (answer["id"], answer["type"]) == (7, "prediction")
    assert [item["output"] for item in answer["batch_predictions"]] == [2 * n for n in range(100)]
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()


async def asked_in_bytes(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """What an application of bytes answers, with the length of its input, and what was asked."""
    client = Client(public=True, input_type="bytes")
    socket = socket_to(client.serving)
    await socket.send_input({"type": "websocket.connect"})
    assert (await socket.receive_output())["type"] == "websocket.accept"
    await socket.send_input({"type": "websocket.receive", "bytes": message})
    answering = asyncio.create_task(socket.receive_output(timeout=20))
    inputs: list[bytes] = []
    while not answering.done():
        while client.replica.batches:
            inputs = list(client.replica.batches[0][1])
            client.replica.answer(dict.fromkeys(inputs, b"7"))
        await asyncio.sleep(0)
    await socket.send_input({"type": "websocket.disconnect", "code": 1000})
    await socket.wait()
    return json.loads(answering.result()["text"]), inputs


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
