"""Bounds of models' answers: of an output, and of the outputs of one answer."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.learning.remote_arms import live
from tests.integration.queries.watched import SECONDS, Watched
from tests.integration.stack import Stack, eventually
from tests.serving.container.remote.servers import Mlflow
from tests.serving.container.remote.stand_in import StandIn

NAME = "lengthy"
OBJECTIVE_MS = 4000
MIB = 1 << 20
# So much of a large output fits.
FITS = 4 * MIB - 100


@pytest.fixture(scope="module")
def lengthy(stack: Stack) -> Iterator[str]:
    """An application whose remote model answers with as many letters as its input says."""
    server = StandIn(Mlflow(lambda asked: ["x" * int(row[0]) for row in asked["inputs"]]))
    body = {
        "name": NAME,
        "input_type": "doubles",
        "slo_ms": OBJECTIVE_MS,
        "cache": False,
        "policy": "static",
        "routes": [{"model": NAME}],
    }
    try:
        with stack.client() as client:
            live(client, NAME, url=server.url(), protocol="mlflow", max_batch_size=4)
            created = client.post("/api/v1/applications/", json=body)
            assert created.status_code == 201, created.text
            eventually(lambda: asked(stack, {"input": [1]})[0] == 200, seconds=60, what="answers")
        yield NAME
    finally:
        with stack.client() as client:
            client.delete(f"/api/v1/applications/{NAME}")
            client.patch(f"/api/v1/models/{NAME}/versions/1", json={"replicas": 0})
        server.stop()


def asked(stack: Stack, body: Any, *, path: str = "predict") -> tuple[int, Any]:
    with stack.client(timeout=SECONDS) as client:
        response = client.post(f"/api/v1/applications/{NAME}/{path}", json=body)
    return response.status_code, response.json()


@pytest.mark.parametrize("size", [FITS + 200, 60 * MIB], ids=["over", "60"])
def test_an_output_that_is_too_large_is_a_failure_in_time(
    stack: Stack, lengthy: str, size: int
) -> None:
    watched = Watched(stack)
    began = time.monotonic()
    status, body = watched.during(lambda: asked(stack, {"input": [size]}))
    assert time.monotonic() - began < 2 * OBJECTIVE_MS / 1000
    assert (status, body["code"]) == (500, "model_failed")
    assert str(4 * MIB) in body["error"] or str(8 * MIB) in body["error"]
    assert watched.held_up_nobody


def test_a_large_output_that_fits_is_given(stack: Stack, lengthy: str) -> None:
    status, body = asked(stack, {"input": [FITS]})
    assert (status, len(body["output"])) == (200, FITS)


def test_a_large_output_fails_alone(stack: Stack, lengthy: str) -> None:
    rows = [[1], [30 * MIB], [2], [3]]
    status, body = asked(stack, {"input_batch": rows, "timeout_ms": 30_000})
    assert status == 200
    codes = [item.get("code") for item in body["batch_predictions"]]
    assert codes == [None, "model_failed", None, None]


def test_the_outputs_of_one_answer_are_bounded(stack: Stack, lengthy: str) -> None:
    status, body = asked(stack, {"input_batch": [[FITS]] * 20, "timeout_ms": 30_000})
    assert status == 200
    items = body["batch_predictions"]
    failed = [item["code"] for item in items if "code" in item]
    assert "model_failed" in failed
    assert sum(len(item.get("output", "")) for item in items) <= 64 * MIB
