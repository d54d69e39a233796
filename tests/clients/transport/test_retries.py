"""Requests that are sent again, and the errors when a server doesn't answer."""

import json
import pickle
import tracemalloc
from pathlib import Path
from typing import Any

import httpx
import pytest

from clipper_client import AsyncClient, Client, ClipperError
from clipper_client.operations.releases import released
from clipper_client.transport.remote_server import (
    DEFAULT_URL,
    Address,
    BlockingServer,
    pause_of,
    run,
)
from tests.clients.busy_server import Planned, serving

BUSY = Planned(503, b'{"error": "busy", "code": "saturated", "details": {}}', {"Retry-After": "0"})
OFTEN = Planned(429, b'{"error": "slow down", "code": "too_many_requests", "details": {}}')
AWAY = Planned(503, b'{"error": "Redis does not answer", "code": "unavailable", "details": {}}')
FULL = Planned(507, b'{"error": "full", "code": "disk_full", "details": {}}')


@pytest.mark.parametrize("answer", [BUSY, OFTEN, Planned(hang_up=True)])
def test_a_query_is_asked_again_until_it_is_answered(answer: Planned) -> None:
    with serving(answer, answer, Planned()) as server, Client(server.url, "k") as client:
        assert client.predict("a", [1]).output == 1
        assert len(server.seen) == 3


async def test_the_async_client_asks_again_too() -> None:
    with serving(BUSY, Planned()) as server:
        async with AsyncClient(server.url, "k") as client:
            assert (await client.predict("a", [1])).output == 1


@pytest.mark.parametrize(("answer", "asked"), [(BUSY, 3), (FULL, 1)])
def test_it_gives_up_with_the_servers_words(answer: Planned, asked: int) -> None:
    with serving(answer) as server, Client(server.url, "k", retries=2) as client:
        with pytest.raises(ClipperError) as caught:
            client.predict("a", [1])
        assert caught.value.message.encode() in answer.body
        assert (caught.value.status, len(server.seen)) == (answer.status, asked)


@pytest.mark.parametrize(
    ("answer", "code"), [(Planned(hang_up=True), "unreachable"), (AWAY, "unavailable")]
)
def test_what_may_have_been_done_is_not_done_twice(answer: Planned, code: str) -> None:
    with serving(answer) as server, Client(server.url, "k") as client:
        with pytest.raises(ClipperError) as caught:
            client.rollback("m")
        assert caught.value.code == code
        assert len(server.seen) == 1


@pytest.mark.parametrize("answer", [BUSY, OFTEN])
def test_what_was_refused_before_it_was_begun_is_sent_again(answer: Planned) -> None:
    released = Planned(202, b'{"id": 1, "model": "m", "version": "1", "state": "live"}')
    with serving(answer, released) as server, Client(server.url, "k") as client:
        client.rollback("m", wait=False)
        assert len(server.seen) == 2


def test_feedback_by_query_counts_once_and_is_sent_again() -> None:
    counted = Planned(body=b'{"accepted": 1}')
    with serving(AWAY, counted) as server, Client(server.url, "k") as client:
        assert client.feedback("q", label=1, app="a").accepted == 1
        assert len(server.seen) == 2


def test_feedback_by_input_has_a_key_by_which_it_counts_once_and_is_sent_again() -> None:
    counted = Planned(body=b'{"accepted": 1}')
    with serving(AWAY, counted) as server, Client(server.url, "k") as client:
        client.feedback(row=[1], label=1, app="a")
        client.feedback_batch("a", [{"input": [1], "label": 1, "idempotency_key": "order 7"}])
        client.feedback(row=[1], label=1, app="a")
    first, again, own, other = (json.loads(body)["feedback"][0] for body in server.small_bodies)
    assert first == again
    assert own == {"input": [1], "label": 1, "idempotency_key": "order 7"}
    assert other["idempotency_key"] != first["idempotency_key"]


def test_many_requests_share_a_connection() -> None:
    with serving(Planned()) as server, Client(server.url, "k") as client:
        for _ in range(20):
            client.predict("a", [1])
        assert len(server.connections) == 1


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b""])
def test_another_server_is_recognised_as_such(status: int, body: bytes) -> None:
    with (
        serving(Planned(status, body)) as server,
        Client(server.url) as client,
        pytest.raises(ClipperError) as caught,
    ):
        client.predict("a", [1])
    assert caught.value.code == "unexpected_answer"


def test_pauses_grow_by_chance_and_are_never_shorter_than_the_server_says() -> None:
    for attempt, most in ((0, 0.1), (3, 0.8)):
        drawn = [pause_of(attempt, retry_after_s=None) for _ in range(200)]
        assert 0 <= min(drawn) < most / 4 < 3 * most / 4 < max(drawn) <= most
    assert 2 <= pause_of(0, retry_after_s=2.0) <= 2.1
    assert pause_of(0, retry_after_s=1e9) == 30.0


class PlayedServer(BlockingServer):
    """Gives the planned answers without a network, and keeps requests and pauses."""

    def __init__(self, *plan: httpx.Response | ClipperError) -> None:
        super().__init__(Address("http://played", key="k"), timeout_s=1.0, retries=4)
        self.plan = list(plan)
        self.requests: list[dict[str, Any]] = []
        self.pauses: list[float] = []
        self.sleep = self.pauses.append

    async def _send(self, arguments: dict[str, Any]) -> httpx.Response:
        self.requests.append(arguments)
        answer = self.plan.pop(0)
        if isinstance(answer, ClipperError):
            raise answer
        return answer


def release(state: str, *, status: int = 200) -> httpx.Response:
    return httpx.Response(status, json={"id": 1, "model": "m", "version": "1", "state": state})


def test_a_release_is_waited_for_while_the_server_restarts() -> None:
    away = [ClipperError("it restarts", code="unreachable")] * 6
    server = PlayedServer(release("starting", status=202), *away, release("live"))
    assert run(released(server, "/deploy", body={}, wait=600.0)).state == "live"
    assert {request["url"] for request in server.requests[1:]} == {"/api/v1/models/m/releases/1"}


def test_a_release_that_is_live_at_once_is_waited_for_until_the_server_follows() -> None:
    server = PlayedServer(release("live", status=202), release("live"))
    assert run(released(server, "/deploy", body={}, wait=60.0)).version == "1"
    assert "wait" in server.requests[1]["params"]


def test_an_upload_is_read_piece_by_piece(tmp_path: Path) -> None:
    artifact = tmp_path / "large.onnx"
    with artifact.open("wb") as file:
        file.truncate(7 << 20)
    answers = (
        Planned(200, b'{"name":"m","input_type":"doubles","versions":[]}'),
        Planned(201, b'{"version":"1"}'),
        Planned(200, b'{"id":1,"model":"m","version":"1","state":"live"}'),
    )
    with serving(*answers) as server, Client(server.url, "k") as client:
        tracemalloc.start()
        try:
            client.deploy("m", artifact)
            _, most = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert server.seen[1] == "POST /api/v1/models/m/versions/"
        assert server.bodies[1] > 7 << 20
    assert most < 3 << 20


def test_without_an_address_it_is_the_one_of_a_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_URL", raising=False)
    assert Client().address.url == DEFAULT_URL


@pytest.mark.parametrize(
    ("url", "key"),
    [("localhost:8000", "k"), ("http://x", "clp_ü"), ("http://x", "clp_a\r\nX: y")],
)
def test_an_address_or_a_key_that_no_request_can_have_is_refused(url: str, key: str) -> None:
    with pytest.raises(ValueError, match="Expected"):
        Client(url, key)


def test_an_error_survives_a_pickle() -> None:
    error = ClipperError("no", code="conflict", status=409, details={"a": 1})
    found = pickle.loads(pickle.dumps(error))
    assert (str(found), vars(found)) == ("no", vars(error))
