"""Bodies that are too large are refused before the application keeps them."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any, cast

import msgspec
import pytest
from django.conf import settings
from django.core.asgi import get_asgi_application
from pytest_django.fixtures import Settings

from clipper_site.bodies import limit_of, with_limited_bodies
from serving.http.asgi import Endpoint, Receive, Scope, Send
from serving.http.limits import LIMITS_KEY, Limits

CHUNK = 1 << 20
ORDINARY_BYTES = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
UPLOADS = (
    "/api/v1/models/svm/versions/",
    "/api/v1/models/svm/versions",
    "/admin/registry/modelversion/add/",
)

Message = MutableMapping[str, Any]


class Client:
    """Sends a body in chunks and keeps what is answered."""

    def __init__(self, *, path: str = "/admin/login/", size: int, announced: str = "") -> None:
        headers = [(b"content-length", announced.encode())] if announced else []
        headers.append((b"host", b"localhost"))
        self.scope: Scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "query_string": b"",
            "headers": headers,
        }
        self.left = size
        self.answer: list[Message] = []

    async def receive(self) -> Message:
        chunk = bytes(min(CHUNK, self.left))
        self.left -= len(chunk)
        return {"type": "http.request", "body": chunk, "more_body": self.left > 0}

    async def send(self, message: Message) -> None:
        self.answer.append(message)

    def ask(self, application: Endpoint) -> int:
        """Send the request; returns the status."""
        asyncio.run(_call(with_limited_bodies(application), client=self))
        return int(self.answer[0]["status"])


async def _call(application: Endpoint, *, client: Client) -> None:
    await application(client.scope, client.receive, client.send)


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("announced", [str(ORDINARY_BYTES + 1), "9" * 5000])
def test_a_body_that_is_announced_too_large_is_not_read(announced: str) -> None:
    client = Client(size=ORDINARY_BYTES + 1, announced=announced)

    assert client.ask(reads_all) == 413
    assert client.left == ORDINARY_BYTES + 1
    assert msgspec.json.decode(client.answer[1]["body"])["code"] == "body_too_large"


@pytest.mark.parametrize("django", [True, False])
def test_a_body_without_a_length_is_read_no_further_than_the_limit(django: bool) -> None:
    client = Client(size=10 * ORDINARY_BYTES)

    assert client.ask(cast(Endpoint, get_asgi_application()) if django else reads_all) == 413
    assert client.left >= 9 * ORDINARY_BYTES - CHUNK


def test_a_body_at_the_limit_passes() -> None:
    announced = str(ORDINARY_BYTES)
    assert Client(size=ORDINARY_BYTES, announced=announced).ask(reads_all) == 200


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    client = Client(size=2 * ORDINARY_BYTES)
    assert client.ask(hasty) == 200
    assert len(client.answer) == 1


@pytest.mark.parametrize("path", UPLOADS)
def test_uploads_may_be_as_large_as_an_artifact(path: str, settings: Settings) -> None:
    settings.CLIPPER_MAX_ARTIFACT_BYTES = 20 << 20
    upload = {
        "method": "POST",
        "path": path,
        "headers": [(b"content-type", b"multipart/form-data; boundary=x")],
    }
    assert limit_of(upload) == (20 << 20) + ORDINARY_BYTES
    assert limit_of(upload | {"path": f"{path.rstrip('/')}/other"}) == ORDINARY_BYTES
    assert limit_of(upload | {"method": "PUT"}) == ORDINARY_BYTES
    assert limit_of(upload | {"headers": []}) == ORDINARY_BYTES


def test_what_is_kept_in_memory_of_bodies_is_bounded_over_all_connections() -> None:
    limits = Limits(unfinished_bytes=CHUNK)
    client = Client(size=2 * CHUNK)
    client.scope["state"] = {LIMITS_KEY: limits}
    assert client.ask(reads_all) == 503
    assert msgspec.json.decode(client.answer[1]["body"])["code"] == "saturated"
    assert limits.held == 0
