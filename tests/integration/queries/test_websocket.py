"""Predictions and feedback over one websocket, many in flight."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect

from tests.integration.conftest import Digits
from tests.integration.stack import Stack


@pytest.fixture
def address(stack: Stack, patient: str) -> str:
    return stack.url.replace("http", "ws") + f"/ws/v1/applications/{patient}"


async def exchange(socket: ClientConnection, *messages: dict[str, Any] | str) -> dict[Any, Any]:
    """Send messages, return as many answers by id."""
    for message in messages:
        await socket.send(json.dumps(message) if isinstance(message, dict) else message)
    answers = [json.loads(await asyncio.wait_for(socket.recv(), 10)) for _ in messages]
    return {answer["id"]: answer for answer in answers}


async def test_two_hundred_predictions_in_flight_and_their_feedback(
    stack: Stack, patient: str, address: str, digits: Digits
) -> None:
    inputs, labels = digits
    async with connect(address, additional_headers=stack.headers) as socket:
        asked = [
            {"id": number, "input": inputs[number], "context": "socket"} for number in range(200)
        ]
        predictions = await exchange(socket, *asked)
        assert predictions.keys() == set(range(200))
        assert {p["type"] for p in predictions.values()} == {"prediction"}
        right = sum(predictions[n]["output"] == labels[n] for n in range(200))
        assert right >= 186
        feedback = [
            {
                "id": f"f{number}",
                "type": "feedback",
                "query_id": predictions[number]["query_id"],
                "label": labels[number],
            }
            for number in range(200)
        ]
        results = await exchange(socket, *feedback)
    assert {(r["type"], r["accepted"]) for r in results.values()} == {("feedback", 1)}
    assert [arm["feedback"] for arm in stack.learned(patient, context="socket")] == [200] * 5


async def test_the_key_may_come_in_the_first_message(
    stack: Stack, address: str, digits: Digits
) -> None:
    async with connect(address) as socket:
        refused = await exchange(socket, {"id": 1, "input": digits[0][0]})
        assert refused[1]["code"] == "unauthenticated"
        wrong = await exchange(socket, {"id": 2, "type": "auth", "key": "wrong"})
        assert wrong[2]["code"] == "unauthenticated"
        right = await exchange(socket, {"id": 3, "type": "auth", "key": stack.demo["api_key"]})
        assert right[3]["type"] == "auth"
        answer = await exchange(socket, {"id": 4, "input": digits[0][0]})
        assert answer[4]["type"] == "prediction"
