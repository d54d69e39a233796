"""What was changed through a process is waited for once by who comes after it."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serving.api.http import Receive, Scope, Send, send_body
from serving.api.noted_changes import with_noted_changes
from serving.web.own_changes import OwnChanges


async def test_only_who_comes_after_a_change_waits_and_all_of_them_do() -> None:
    looks = 0
    looked = asyncio.Event()

    async def catch_up() -> None:
        nonlocal looks
        looks += 1
        await looked.wait()

    changes = OwnChanges(catch_up)
    await changes.followed()
    assert looks == 0
    changes.made()
    waiting = [asyncio.create_task(changes.followed()) for _ in range(3)]
    await asyncio.sleep(0)
    assert looks == 3
    assert not any(task.done() for task in waiting)
    looked.set()
    await asyncio.gather(*waiting)
    await changes.followed()
    assert looks == 3


@pytest.mark.parametrize(
    ("method", "path", "status", "changes"),
    [
        ("PATCH", "/api/v1/applications/digits", 200, 1),
        ("POST", "/api/v1/models/svm/versions/2/deploy", 202, 1),
        ("DELETE", "/api/v1/applications/digits", 204, 1),
        ("GET", "/api/v1/applications/digits", 200, 0),
        ("PATCH", "/api/v1/applications/digits", 403, 0),
        ("POST", "/admin/login/", 302, 0),
    ],
)
async def test_what_may_have_changed_the_registry_is_noted_before_it_is_answered(
    method: str, path: str, status: int, changes: int
) -> None:
    told: list[Any] = []

    async def management(scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, b"{}", status=status)

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        told.append(message.get("status", "body"))

    noting = with_noted_changes(management, changed=lambda: told.append("changed"))
    await noting({"method": method, "path": path}, receive, send)
    assert told == ["changed"] * changes + [status, "body"]
