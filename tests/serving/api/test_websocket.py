"""The websocket by itself: it is built by its route, and needs no Redis to stay open."""

from __future__ import annotations

import asyncio
import json

from asgiref.testing import ApplicationCommunicator

from registry.specs import Snapshot
from serving.api.splitting import LARGE_BODY_BYTES
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
