"""Every mistake gets its status and one clear message, and the server goes on."""

import contextlib
import http.client
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.conftest import Digits
from tests.integration.stack import Stack, post

PREDICT = "/api/v1/applications/digits/predict"


def ask(
    stack: Stack, content: bytes | Iterator[bytes], *, path: str = PREDICT, **changes: Any
) -> httpx.Response:
    with stack.client(**changes) as client:
        return client.post(path, content=content)


def assert_error(response: httpx.Response, *, status: int, code: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() - {"query_id"} == {"error", "code", "details"}
    assert body["code"] == code


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b'{"input": [1, 2', "invalid_json"),
        (b"{}", "malformed"),
        (json.dumps({"input": [0] * 63}).encode(), "invalid_input"),
        (b'{"input": [1], "tiemout_ms": 5}', "unknown_field"),
        (b'{"input": [1], "context": "\xff"}', "invalid_json"),
        (b'{"input": ' + b"[" * 100_000, "invalid_json"),
    ],
)
def test_a_malformed_body_is_a_400(stack: Stack, patient: str, content: bytes, code: str) -> None:
    # It is the models that refuse a length: they have the time for that on a busy machine, too.
    path = f"/api/v1/applications/{patient}/predict"
    assert_error(ask(stack, content, path=path), status=400, code=code)


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "/api/v1/applications/nothing/predict", {}, 404, "not_found"),
        ("GET", "/api/v1/nothing", {}, 404, "not_found"),
        ("POST", "/nothing", {}, 404, "not_found"),
        ("POST", PREDICT, {"Authorization": b""}, 401, "unauthenticated"),
        ("POST", PREDICT, {"Authorization": b"Api-Key wrong"}, 401, "unauthenticated"),
        ("POST", PREDICT, {"Authorization": b"Api-Key \xff"}, 401, "unauthenticated"),
        ("GET", PREDICT, {}, 405, "method_not_allowed"),
        ("POST", PREDICT, {"Content-Encoding": b"gzip"}, 415, "unsupported_encoding"),
    ],
)
def test_each_mistake_has_its_status_and_code(
    stack: Stack, method: str, path: str, headers: dict[str, Any], status: int, code: str
) -> None:
    with stack.client() as client:
        response = client.request(method, path, content=b'{"input":[1]}', headers=headers)
    assert_error(response, status=status, code=code)


def test_a_key_without_the_scope_is_a_403(stack: Stack) -> None:
    key = stack.new_key("feedback-only", scopes="feedback")
    response = ask(stack, b'{"input":[1]}', headers={"Authorization": f"Api-Key {key}"})
    assert_error(response, status=403, code="forbidden")


def test_a_hundred_megabytes_are_refused_before_they_are_read(stack: Stack) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    connection.putrequest("POST", PREDICT)
    for name, value in stack.headers.items():
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(100 << 20))
    connection.endheaders()
    response = connection.getresponse()
    body = json.loads(response.read())
    connection.close()
    assert response.status == 413
    assert body["code"] == "body_too_large"


def test_a_hundred_megabytes_in_chunks_are_refused_too(stack: Stack) -> None:
    chunk = b"1," * (1 << 19)

    def chunks() -> Iterator[bytes]:
        yield b'{"input":['
        for _ in range(100):
            yield chunk

    connection = http.client.HTTPConnection("127.0.0.1", stack.port, timeout=30)
    # It may refuse while we are still sending; the answer, if it came, is in the socket.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.request("POST", PREDICT, body=chunks(), headers=stack.headers)
    try:
        response = connection.getresponse()
    except (ConnectionError, http.client.BadStatusLine):
        pass
    else:
        assert response.status == 413
    connection.close()
    assert stack.ready()


def test_a_forged_receipt_is_rejected_and_changes_nothing(stack: Stack, digits: Digits) -> None:
    question = {"input": digits[0][0], "context": "forged"}
    with stack.client() as client:
        receipt = post(client, "digits/predict", question)["query_id"]
        forged = ("A" if receipt[0] != "A" else "B") + receipt[1:]
        result = post(client, "digits/feedback", {"query_id": forged, "label": 1})
    assert (result["accepted"], result["duplicates"]) == (0, 0)
    assert result["rejected"][0]["code"] == "invalid_receipt"
    assert all(arm["feedback"] == 0 for arm in stack.learned("digits", context="forged"))


def test_good_and_bad_feedback_in_one_request_are_told_apart(stack: Stack, digits: Digits) -> None:
    inputs, labels = digits
    with stack.client() as client:
        receipts = [
            post(client, "digits/predict", {"input": input})["query_id"] for input in inputs[:3]
        ]
        items = [
            {"query_id": receipts[0], "label": labels[0]},
            {"query_id": "nonsense", "label": 1},
            {"query_id": receipts[1], "reward": 2},
            {"query_id": receipts[2], "reward": 0.5},
            {"label": 3},
        ]
        result = post(client, "digits/feedback", {"feedback": items})
    assert result["accepted"] == 2
    assert [one["index"] for one in result["rejected"]] == [1, 2, 4]


def test_the_server_still_answers_after_all_that(stack: Stack, digits: Digits) -> None:
    response = ask(stack, json.dumps({"input": digits[0][0]}).encode())
    assert response.status_code == 200
    assert response.json()["default"] is False
