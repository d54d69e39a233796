"""An answer says what each model said, unless the request doesn't want it."""

from __future__ import annotations

import asyncio
import json
from types import SimpleNamespace
from typing import Any

import pytest

from serving.endpoints.predictions.predict import answer
from serving.endpoints.predictions.predict_request import parse_predict
from tests.serving.http.front_server import Front, client_of, request, running, sent


async def answered(it: Front, body: bytes) -> Any:
    runtime: Any = SimpleNamespace(processor=it.serving.processor)
    asking = asyncio.create_task(
        answer(
            runtime,
            application=it.serving.application,
            request=parse_predict(body),
            arrived=asyncio.get_running_loop().time(),
        )
    )
    rows = len(it.model.sizes)
    while len(it.model.sizes) == rows:
        await asyncio.sleep(0.001)
    while it.model.batches:
        it.model.answer()
    return json.loads(await asking)


@pytest.mark.parametrize("models", [True, False])
async def test_it_is_there_unless_left_out(models: bool) -> None:
    it = Front(slo_ms=5000.0)
    text = json.dumps(models).encode()
    single = await answered(it, b'{"input":[1],"models":%b}' % text)
    assert (single["output"], single["answered"]) == ([1], 1)
    assert ("models" in single) is models
    batch = await answered(it, b'{"input_batch":[[2]],"models":%b}' % text)
    (item,) = batch["batch_predictions"]
    assert item["output"] == [2]
    assert ("models" in item) is models


async def test_the_short_cut_leaves_such_a_request_to_the_ordinary_way() -> None:
    it = Front()
    async with running(it), client_of(it) as client:
        await client.send(request(b'{"input":[1],"models":false}'))
        assert (await client.response())[2] == b"ASGI"
        await client.send(request(b'{"input":[1],"models":true}'))
        await sent(it)
        it.model.answer()
        assert json.loads((await client.response())[2])["models"] == {"m1:1": [1]}
    assert len(it.asked) == 1
