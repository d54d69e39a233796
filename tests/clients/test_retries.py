"""What is sent again and what isn't, and what is said when a server doesn't answer."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from pathlib import Path

import pytest

from clipper_client import AsyncClient, Client, ClipperError
from clipper_client.operations.management import rollback
from clipper_client.operations.predictions import feedback_of_many
from clipper_client.retries import RetryPolicy, ask
from clipper_client.steps import Pause, Request, Response
from clipper_client.wire import DEFAULT_URL
from clipper_site.stack.layout import free_port
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


def test_it_gives_up_with_the_servers_words() -> None:
    with serving(BUSY) as server, Client(server.url, "k", retries=2) as client:
        with pytest.raises(ClipperError, match="busy") as caught:
            client.predict("a", [1])
        assert (caught.value.code, caught.value.status) == ("saturated", 503)
        assert len(server.seen) == 3


def test_a_refusal_is_final() -> None:
    with serving(FULL) as server, Client(server.url, "k") as client:
        with pytest.raises(ClipperError, match="full"):
            client.predict("a", [1])
        assert len(server.seen) == 1


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
    item = {"input": [1], "label": 1}
    first, again = (request_and_next(item) for _ in range(2))
    assert first[0] == first[1]
    keys = [told(request)["idempotency_key"] for request, _ in (first, again)]
    assert keys[0] != keys[1]
    given = item | {"idempotency_key": "order 7"}
    assert told(request_and_next(given)[0]) == given


def request_and_next(item: dict[str, object]) -> tuple[Request, Request]:
    """The request for a piece of feedback, and the one after its answer was lost."""
    giving = feedback_of_many("a", [item], policy=RetryPolicy())
    first = next(giving)
    assert isinstance(giving.send(Response(status=503, body=AWAY.body, headers={})), Pause)
    again = giving.send(None)
    assert isinstance(first, Request)
    assert isinstance(again, Request)
    return first, again


def told(request: Request) -> dict[str, object]:
    (item,) = json.loads(request.body or b"")["feedback"]
    return dict(item)


def test_many_requests_share_a_connection() -> None:
    with serving(Planned()) as server, Client(server.url, "k") as client:
        for _ in range(20):
            client.predict("a", [1])
        assert len(server.connections) == 1


def test_nobody_there_is_said_in_a_line() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with Client(url, "k", retries=1) as client, pytest.raises(ClipperError) as caught:
        client.predict("a", [1])
    assert (caught.value.code, caught.value.status) == ("unreachable", 0)
    assert url in str(caught.value)
    assert "\n" not in str(caught.value)


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
    policy = RetryPolicy(first_pause_s=0.1)
    for attempt, most in ((0, 0.1), (3, 0.8)):
        drawn = [policy.pause_s(attempt, retry_after_s=None) for _ in range(200)]
        assert 0 <= min(drawn) < most / 4 < 3 * most / 4 < max(drawn) <= most
    assert 2 <= policy.pause_s(0, retry_after_s=2.0) <= 2.1
    assert policy.pause_s(0, retry_after_s=1e9) == 30.0


def test_the_pause_is_the_one_that_the_server_asks_for() -> None:
    steps = ask(Request(method="GET", path="/"), policy=RetryPolicy())
    next(steps)
    answer = Response(status=429, headers={"retry-after": "3"}, body=OFTEN.body)
    pause = steps.send(answer)
    assert isinstance(pause, Pause)
    assert 3.0 <= pause.seconds <= 3.1


def test_who_waits_for_a_release_stays_while_the_server_restarts() -> None:
    steps = rollback("m", to=None, reason="", wait=600.0, policy=RetryPolicy())
    next(steps)
    told = b'{"id": 1, "model": "m", "version": "1", "state": "%b"}'
    asked = steps.send(Response(status=202, headers={}, body=told % b"starting"))
    for _ in range(RetryPolicy().retries + 2):
        assert isinstance(asked, Request)
        assert asked.path == "/api/v1/models/m/releases/1"
        assert isinstance(steps.throw(ClipperError("it restarts", code="unreachable")), Pause)
        asked = steps.send(None)
    with pytest.raises(StopIteration) as ended:
        steps.send(Response(status=200, headers={}, body=told % b"live"))
    assert ended.value.value.state == "live"


def test_a_release_that_is_live_at_once_is_waited_for_until_the_server_follows() -> None:
    steps = rollback("m", to=None, reason="", wait=60.0, policy=RetryPolicy())
    next(steps)
    live = b'{"id": 1, "model": "m", "version": "1", "state": "live"}'
    asked = steps.send(Response(status=202, headers={}, body=live))
    assert isinstance(asked, Request)
    assert (asked.path, "wait" in asked.params) == ("/api/v1/models/m/releases/1", True)
    with pytest.raises(StopIteration) as ended:
        steps.send(Response(status=200, headers={}, body=live))
    assert ended.value.value.version == "1"


def test_an_upload_is_read_piece_by_piece(tmp_path: Path) -> None:
    artifact = tmp_path / "large.onnx"
    with artifact.open("wb") as file:
        file.truncate(64 << 20)
    answers = (
        Planned(200, b'{"name":"m","input_type":"doubles","versions":[]}'),
        Planned(404, b'{"error":"there is no such page","code":"not_found"}'),  # of pieces
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
        assert server.seen[2] == "POST /api/v1/models/m/versions/"
        assert server.bodies[2] > 64 << 20
    assert most < 8 << 20


def test_without_an_address_it_is_the_one_of_a_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CLIPPER_URL", raising=False)
    assert Client().address.url == DEFAULT_URL
    with pytest.raises(ValueError, match="starts with http"):
        Client("localhost:8000")


@pytest.mark.parametrize("end", ["/api/v1", "/api", "/api/v1/"])
def test_the_address_is_that_of_the_server_alone(end: str) -> None:
    with pytest.raises(ValueError, match=r"alone, http://proxy/clipper, got http://proxy/clip"):
        Client(f"http://proxy/clipper{end}")


def test_a_key_is_refused_here_where_no_header_can_hold_it() -> None:
    with pytest.raises(ValueError, match="printable"):
        Client("http://x", "clp_ü")
    with pytest.raises(ValueError, match="printable"):
        Client("http://x", "clp_a\r\nX: y")


def test_an_error_survives_a_pickle() -> None:
    error = ClipperError("no", code="conflict", status=409, details={"a": 1})
    found = pickle.loads(pickle.dumps(error))
    assert (str(found), found.code, found.status, found.details) == (
        "no",
        "conflict",
        409,
        {"a": 1},
    )


def test_an_option_that_there_is_not_is_told_with_the_one_that_was_meant() -> None:
    with Client("http://127.0.0.1:1", "k") as client, pytest.raises(TypeError, match="slo_ms"):
        client.deploy("a", [], slo_msec=100)  # type: ignore[call-arg]


def test_tls_to_a_server_without_it_says_how_its_address_begins() -> None:
    with serving(Planned()) as server:
        url = server.url.replace("http://", "https://")
        with Client(url, "k", retries=0) as client:
            with pytest.raises(ClipperError, match="its address begins with http://") as caught:
                client.predict("a", [1])
            assert caught.value.code == "unreachable"
            with pytest.raises(ClipperError, match="its address begins with http://"):
                client.session("a")


@pytest.mark.parametrize(
    "answer",
    [
        Planned(hang_up=True),
        Planned(400, b"<title>400 The plain HTTP request was sent to HTTPS port</title>"),
        Planned(400, b"Client sent an HTTP request to an HTTPS server.\n"),
    ],
)
def test_plain_http_to_a_server_with_tls_says_how_its_address_begins(answer: Planned) -> None:
    with (
        serving(answer) as server,
        Client(server.url, "k", retries=0) as client,
        pytest.raises(ClipperError, match="its address begins with https://"),
    ):
        client.predict("a", [1])


def test_a_server_that_has_answered_is_not_taken_for_one_with_tls() -> None:
    once = (Planned(), Planned(hang_up=True))
    with serving(*once) as server, Client(server.url, "k", retries=0) as client:
        client.predict("a", [1])
        with pytest.raises(ClipperError) as caught:
            client.predict("a", [1])
    assert "https" not in str(caught.value)
