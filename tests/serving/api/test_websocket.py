"""The websocket by itself: it is built by its route, and needs no Redis to stay open."""

from __future__ import annotations

import json
from types import SimpleNamespace

from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from registry.specs import Snapshot
from serving.api.websocket import ApplicationConsumer


def socket_of_an_empty_registry() -> ApplicationCommunicator:
    async def found(look):
        return look(Snapshot())

    runtime = SimpleNamespace(found=found, spec=SimpleNamespace(max_body_bytes=1 << 20))
    scope = {"type": "websocket", "headers": [], "url_route": {"kwargs": {"app": "digits"}}}
    return ApplicationCommunicator(ApplicationConsumer.as_asgi(runtime=runtime), scope)


async def test_messages_without_a_key_are_refused_under_their_ids_and_the_socket_stays_open():
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


def test_a_socket_belongs_to_no_channel_layer():
    """A layer's reads from Redis time out after seconds of silence, and would close the socket."""
    assert ApplicationConsumer.channel_layer_alias not in settings.CHANNEL_LAYERS
