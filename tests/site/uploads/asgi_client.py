"""A client of the console's ASGI application, which sends its body piece by piece."""

import asyncio
from collections.abc import Callable, MutableMapping
from typing import Any

import msgspec

from clipper_site.uploads.admission import UploadHandlingASGIHandler
from clipper_site.uploads.bodies import with_limited_bodies
from registry import services
from registry.services import Actor
from serving.http.asgi import Endpoint, Scope

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)
CHUNK = 1 << 20
Headers = tuple[tuple[str, str], ...]
Message = MutableMapping[str, Any]


class Client:
    """Sends one request, and may stop, look around or leave in the middle of its body."""

    def __init__(
        self,
        *,
        path: str,
        body: bytes,
        method: str = "POST",
        headers: Headers = (),
        before: Callable[[int], None] = lambda position: None,
        leaves_at: int | None = None,
        piece: int = CHUNK,
    ) -> None:
        fields = [("host", "localhost"), *headers]
        self.scope: Scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": b"",
            "headers": [(name.encode(), value.encode()) for name, value in fields],
        }
        self.body = body
        self.position = 0
        self.holds: asyncio.Event | None = None
        self.holding = asyncio.Event()
        self.answer: list[Message] = []
        self._has_said_all = False
        self._before = before
        self._leaves_at = leaves_at
        self._piece = piece

    async def receive(self) -> Message:
        if self._leaves_at is not None and self.position >= self._leaves_at:
            return {"type": "http.disconnect"}
        if self.holds is not None and self.position > 0:
            self.holding.set()
            await self.holds.wait()
        if self._has_said_all:
            await asyncio.Event().wait()  # a client that waits for its answer
        self._before(self.position)
        chunk = self.body[self.position : self.position + self._piece]
        self.position += len(chunk)
        self._has_said_all = self.position == len(self.body)
        return {"type": "http.request", "body": chunk, "more_body": not self._has_said_all}

    async def send(self, message: Message) -> None:
        self.answer.append(message)

    @property
    def status(self) -> int:
        return int(self.answer[0]["status"])

    @property
    def content(self) -> bytes:
        return b"".join(one["body"] for one in self.answer[1:])

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


def console() -> Endpoint:
    return with_limited_bodies(UploadHandlingASGIHandler())  # type: ignore[arg-type]  # Django's


def ask(client: Client, *, application: Endpoint | None = None) -> Client:
    async def asked() -> None:
        await (application or console())(client.scope, client.receive, client.send)

    asyncio.run(asked())
    return client


def key_header(*scopes: str) -> Headers:
    _, text = services.create_api_key(name="a key", scopes=scopes, by=BY)
    return (("authorization", f"Api-Key {text}"),)
