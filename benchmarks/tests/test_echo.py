"""The yardstick answers, and does parse what it is sent."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from benchmarks.echo import application


async def answer(*parts: bytes) -> dict[str, Any]:
    messages = [
        {"type": "http.request", "body": part, "more_body": number < len(parts)}
        for number, part in enumerate(parts, start=1)
    ]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    await application({"type": "http", "path": "/"}, receive, send)
    assert sent[0]["status"] == 200
    decoded: dict[str, Any] = msgspec.json.decode(sent[1]["body"])
    return decoded


async def test_it_reports_the_length_of_the_raw_input():
    assert (await answer(b'{"input":[1,', b"2.5]}"))["size"] == len("[1,2.5]")


async def test_it_refuses_what_is_no_json():
    with pytest.raises(msgspec.DecodeError):
        await answer(b'{"input":[1,')
