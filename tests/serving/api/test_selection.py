"""The selection endpoint reads; what forgets is the management API's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serving.api.feedback import selection_endpoint


async def answered(method: str) -> tuple[int, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    async def management(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b"null"})

    endpoint = selection_endpoint(None, management=management)  # type: ignore[arg-type]
    scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}
    await endpoint(scope, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


async def test_a_reset_goes_to_the_management_api() -> None:
    assert await answered("DELETE") == (204, None)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_other_methods_are_refused_and_both_named(method: str) -> None:
    status, body = await answered(method)
    assert (status, body["details"]) == (405, {"allowed": ["GET", "DELETE"]})
