"""The console and the processes that answer queries go on without each other, at one address."""

import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from core import compiled
from tests.integration.conftest import Digits
from tests.integration.stack import Load, Stack, eventually

RECOVERY_S = 60.0
# Libraries that only the console or models need; Python maps the compiled parts of what it loads.
NOT_OF_PREDICT = re.compile(r"/(numpy|scipy|sklearn|pandas|PIL|yaml|rpds)/")


@pytest.fixture
def console(stack: Stack) -> Iterator[httpx.Client]:
    """A client of the console's own address."""
    transport = httpx.HTTPTransport(uds=str(stack.console_socket))
    with httpx.Client(
        base_url="http://localhost", transport=transport, headers=stack.headers, timeout=30
    ) as client:
        yield client


def predicted(client: httpx.Client, digits: Digits) -> httpx.Response:
    body = {"input": digits[0][0]}
    return client.post("/api/v1/applications/digits/predict", json=body)


def test_one_connection_asks_both_kinds_in_turn(stack: Stack, digits: Digits) -> None:
    limits = httpx.Limits(max_connections=1)
    with stack.client(limits=limits) as client:
        for _ in range(3):
            assert predicted(client, digits).status_code == 200
            assert client.get("/api/v1/applications/digits").json()["name"] == "digits"
            assert client.get("/health/console").json()["live"] is True
            learned = client.get("/api/v1/applications/digits/selection")
            assert learned.json()["policy"] == "exp4"


def test_the_console_is_stopped_and_queries_go_on(stack: Stack, digits: Digits) -> None:
    with Load(stack, application="digits", inputs=digits[0]) as load:
        eventually(lambda: load.count() > 20, seconds=RECOVERY_S, what="load")
        with stack.without("console"), stack.client() as client:
            away = client.get("/admin/login/")
            checks = client.get("/health/ready").json()["checks"]
            answered = predicted(client, digits)
        eventually(lambda: load.count() > 200, seconds=RECOVERY_S, what="load afterwards")
    assert (away.status_code, away.json()["code"]) == (503, "process_away")
    assert int(away.headers["retry-after"]) >= 1
    assert checks["console"].startswith("cannot be reached")
    assert answered.status_code == 200
    assert load.errors == []


def test_queries_are_stopped_and_the_console_goes_on_at_its_own_address(
    stack: Stack, console: httpx.Client, digits: Digits
) -> None:
    with stack.without("predict"):
        assert console.get("/api/v1/applications/digits").status_code == 200
        assert console.get("/admin/login/").status_code == 200
        assert "clipper_control_age_seconds" in console.get("/metrics").text
        assert predicted(console, digits).status_code == 404


def test_a_change_is_answered_once_every_query_goes_by_it(stack: Stack, digits: Digits) -> None:
    """An application answers, takes feedback and is gone as soon as the console has said so."""
    body = {
        "name": "at-once",
        "input_type": "doubles",
        "slo_ms": 1000,
        "default_output": -1,
        "routes": [{"model": "svm-linear"}],
    }
    asked = {"input": digits[0][0]}
    with stack.client() as client, stack.client() as other:
        for _ in range(5):
            assert client.post("/api/v1/applications/", json=body).status_code == 201
            answer = other.post("/api/v1/applications/at-once/predict", json=asked)
            assert answer.status_code == 200
            changed = client.patch("/api/v1/applications/at-once", json={"policy": "ucb1"})
            assert changed.status_code == 200
            selection = other.get("/api/v1/applications/at-once/selection").json()
            assert selection["policy"] == "ucb1"
            assert client.delete("/api/v1/applications/at-once").status_code == 204
            gone = other.post("/api/v1/applications/at-once/predict", json=asked)
            assert gone.status_code == 404


@pytest.mark.parametrize(
    ("kind", "expected"), [("predict", False), ("console", True)], ids=["predict", "console"]
)
def test_each_kind_has_loaded_what_it_serves(stack: Stack, kind: str, expected: bool) -> None:
    for process in stack.web_processes(kind):
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        assert "python" in maps
        assert bool(NOT_OF_PREDICT.search(maps)) is expected


def test_queries_are_answered_by_compiled_code_where_it_is_of_these_sources(stack: Stack) -> None:
    expected = float(compiled.build() is not None)

    def told() -> list[str]:
        text = httpx.get(f"{stack.url}/metrics", timeout=30).text
        return re.findall(r'clipper_web_compiled\{process="[^"]+"\} (\S+)', text)

    # One that has ended is told of for some seconds.
    assert set(eventually(told, seconds=90, what="code told")) == {str(expected)}
    mapped = [
        f"{compiled.BUILDS}/" in Path(f"/proc/{process.pid}/maps").read_text()
        for kind in ("predict", "console")
        for process in stack.web_processes(kind)
    ]
    assert mapped == [bool(expected), False]
