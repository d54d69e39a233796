"""`?wait=` on a deploy: the answer comes when the release has ended, and never later than asked."""

import asyncio
import gzip
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from serving.endpoints.console.release_wait import with_followed_changes, with_release_waits
from serving.http.asgi import WHEN_GONE, Receive, Scope, Send, send_body

DEPLOY = "/api/v1/models/svm/versions/2/deploy"
ROLLBACK = "/api/v1/models/svm/rollback"
RELEASE = "/api/v1/models/svm/releases/7"


class Management:
    """A management API with one release, whose state a test changes, and who asked for what."""

    def __init__(self) -> None:
        self.state = "pending"
        self.asked: list[Scope] = []
        self.refusal = 0
        self._look: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.catching_up = False
        self.caught_up = asyncio.Event()
        self.caught_up.set()
        self.endpoint = with_release_waits(
            self._answer,
            next_change=lambda: self._look,
            followed=self._catch_up,
        )

    async def _catch_up(self) -> None:
        self.catching_up = True
        await self.caught_up.wait()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        self.asked.append(scope)
        body = msgspec.json.encode({"id": 7, "state": self.state})
        if (b"accept-encoding", b"gzip") in scope["headers"]:
            body = gzip.compress(body)
        status = self.refusal or (202 if scope["method"] == "POST" else 200)
        await send_body(send, body, status=status)

    def look(self) -> None:
        """Have the process look at the registry."""
        before, self._look = self._look, asyncio.get_running_loop().create_future()
        before.set_result(None)

    def change(self, state: str) -> None:
        self.state = state
        self.look()

    def ask(self, path: str, *, query: str = "wait=60", **scope: Any) -> asyncio.Task[Any]:
        return asyncio.create_task(self._asked(path, query=query, scope=scope))

    async def _asked(self, path: str, *, query: str, scope: dict[str, Any]) -> tuple[int, Any]:
        sent: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": b"{}", "more_body": False}

        async def send(message: Any) -> None:
            sent.append(message)

        asked = {
            "type": "http",
            "method": "GET" if "releases" in path else "POST",
            "path": path,
            "query_string": query.encode(),
            "headers": [(b"authorization", b"Api-Key k"), (b"content-length", b"2")],
            **scope,
        }
        async with asyncio.timeout(30):
            await self.endpoint(asked, receive, send)
        return sent[0]["status"], msgspec.json.decode(sent[1]["body"])


@pytest.fixture
async def management() -> Management:
    return Management()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


@pytest.mark.parametrize("path", [DEPLOY, DEPLOY + "/", ROLLBACK, RELEASE])
@pytest.mark.parametrize("state", ["live", "failed", "superseded"])
async def test_it_answers_when_the_release_has_ended(
    management: Management, path: str, state: str
) -> None:
    waiting = management.ask(path)
    await until(lambda: management.asked)
    management.change("starting")
    await until(lambda: len(management.asked) == 2)
    assert not waiting.done()
    management.change(state)
    assert await waiting == (200, {"id": 7, "state": state})


async def test_it_reads_the_answer_for_a_client_that_takes_compressed_ones(
    management: Management,
) -> None:
    headers = [(b"authorization", b"Api-Key k"), (b"accept-encoding", b"gzip")]
    answering = management.ask(RELEASE, headers=headers)
    await until(lambda: management.asked)
    management.change("live")
    assert await answering == (200, {"id": 7, "state": "live"})


async def test_it_reads_the_release_as_the_caller(management: Management) -> None:
    waiting = management.ask(DEPLOY)
    await until(lambda: management.asked)
    management.change("live")
    await waiting
    reading = management.asked[1]
    assert (reading["method"], reading["path"]) == ("GET", RELEASE)
    assert reading["headers"] == [(b"authorization", b"Api-Key k")]


async def test_when_the_time_is_over_it_says_how_far_it_is(management: Management) -> None:
    assert await management.ask(DEPLOY, query="wait=0.01") == (202, {"id": 7, "state": "pending"})
    assert await management.ask(RELEASE, query="wait=0.01") == (200, {"id": 7, "state": "pending"})


@pytest.mark.parametrize("state", ["live", "starting"])
async def test_what_is_live_is_answered_when_this_process_follows(
    management: Management, state: str
) -> None:
    management.caught_up.clear()
    management.state = state
    waiting = management.ask(ROLLBACK)
    await until(lambda: management.asked)
    management.change("live")
    await until(lambda: management.catching_up)
    assert not waiting.done()
    management.caught_up.set()
    assert (await waiting)[1] == {"id": 7, "state": "live"}


async def test_it_is_answered_in_time_where_this_process_does_not_follow(
    management: Management,
) -> None:
    management.caught_up.clear()
    management.state = "live"
    assert await management.ask(ROLLBACK, query="wait=0.01") == (202, {"id": 7, "state": "live"})


async def test_a_refusal_is_answered_as_it_is(management: Management) -> None:
    management.refusal = 409
    assert (await management.ask(DEPLOY))[0] == 409
    assert len(management.asked) == 1


@pytest.mark.parametrize("text", ["soon", "-1", "301", "nan", ""])
async def test_a_time_that_is_none_is_refused_before_anything_is_done(
    management: Management, text: str
) -> None:
    status, body = await management.ask(DEPLOY, query=f"wait={text}")
    assert (status, body["code"]) == (400, "malformed")
    assert management.asked == []


@pytest.mark.parametrize(("path", "query"), [(DEPLOY, ""), ("/api/v1/models/svm", "wait=60")])
async def test_anything_else_is_left_alone(management: Management, path: str, query: str) -> None:
    assert (await management.ask(path, query=query))[1]["state"] == "pending"
    assert [scope["path"] for scope in management.asked] == [path]


async def test_a_client_that_leaves_is_waited_for_no_more(management: Management) -> None:
    state: dict[str, Any] = {}
    waiting = management.ask(DEPLOY, state=state)
    await until(lambda: WHEN_GONE in state)
    state[WHEN_GONE]()
    with pytest.raises(IndexError):
        await waiting  # nothing was sent
    assert state == {}


@pytest.mark.parametrize(
    ("method", "path", "status", "waits"),
    [
        ("PATCH", "/api/v1/applications/digits", 200, True),
        ("POST", "/api/v1/models/svm/versions/2/deploy", 202, True),
        ("DELETE", "/api/v1/applications/digits", 204, True),
        ("POST", "/admin/registry/model/add/", 302, True),
        ("GET", "/api/v1/applications/digits", 200, False),
        ("PATCH", "/api/v1/applications/digits", 403, False),
    ],
)
async def test_a_change_is_followed_before_it_is_answered(
    method: str, path: str, status: int, waits: bool
) -> None:
    order: list[Any] = []

    async def management(scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, b"{}", status=status)

    async def receive() -> Any:
        raise AssertionError

    async def send(message: Any) -> None:
        order.append(message.get("status", "body"))

    async def followed() -> None:
        order.append("followed")

    following = with_followed_changes(management, followed=followed)
    await following({"method": method, "path": path}, receive, send)
    assert order == ["followed"] * waits + [status, "body"]
