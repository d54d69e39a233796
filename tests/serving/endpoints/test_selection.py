"""The selection endpoint of a process that answers queries reads; what forgets is the console's."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from serving.endpoints.feedback_endpoints import selection_endpoint


async def answered(method: str) -> tuple[int, Any]:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    endpoint = selection_endpoint(None)  # type: ignore[arg-type]
    scope = {"type": "http", "method": method, "path": "/", "headers": [], "query_string": b""}
    await endpoint(scope, None, send)  # type: ignore[arg-type]
    return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
async def test_other_methods_are_refused_and_both_named(method: str) -> None:
    status, body = await answered(method)
    assert (status, body["details"]) == (405, {"allowed": ["GET", "DELETE"]})
