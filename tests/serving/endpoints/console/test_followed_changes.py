"""A change of the registry is answered once everybody follows it; a reading, at once."""

from __future__ import annotations

from typing import Any

import pytest

from serving.endpoints.console.followed_changes import with_followed_changes
from serving.http.asgi import Receive, Scope, Send, send_body


@pytest.mark.parametrize(
    ("method", "path", "status", "waits"),
    [
        ("PATCH", "/api/v1/applications/digits", 200, True),
        ("POST", "/api/v1/models/svm/versions/2/deploy", 202, True),
        ("DELETE", "/api/v1/applications/digits", 204, True),
        ("POST", "/admin/registry/application/add/", 302, True),
        ("GET", "/api/v1/applications/digits", 200, False),
        ("PATCH", "/api/v1/applications/digits", 403, False),
    ],
)
async def test_a_change_is_followed_before_it_is_answered(
    method: str, path: str, status: int, waits: bool
) -> None:
    told: list[Any] = []

    async def management(scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, b"{}", status=status)

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        told.append(message.get("status", "body"))

    async def followed() -> None:
        told.append("followed")

    following = with_followed_changes(management, followed=followed)
    await following({"method": method, "path": path}, receive, send)
    assert told == ["followed"] * waits + [status, "body"]
