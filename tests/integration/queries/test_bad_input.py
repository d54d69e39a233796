"""Every mistake gets its status and one clear message, and the server goes on."""

from __future__ import annotations

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


def assert_error(response: httpx.Response, *, status: int, code: str, says: str) -> None:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert body.keys() - {"query_id"} == {"error", "code", "details"}
    assert body["code"] == code
    assert says in body["error"]


@pytest.mark.parametrize(
    ("content", "code", "says"),
    [
        (b'{"input": [1, 2', "invalid_json", "truncated"),
        (b"{}", "malformed", "either input or input_batch"),
        (json.dumps({"input": [0] * 63}).encode(), "invalid_input", "expected 64 numbers, got 63"),
        (b'{"input": [1], "tiemout_ms": 5}', "unknown_field", "expected only input, input_batch"),
        (b'{"input": [1], "context": "\xff"}', "invalid_json", "UTF-8"),
        (b'{"input": ' + b"[" * 100_000, "invalid_json", ""),
    ],
)
def test_a_malformed_body_is_a_400(stack: Stack, content: bytes, code: str, says: str) -> None:
    assert_error(ask(stack, content), status=400, code=code, says=says)


def test_an_unknown_application_is_a_404(stack: Stack) -> None:
    response = ask(stack, b'{"input":[1]}', path="/api/v1/applications/nothing/predict")
    assert_error(response, status=404, code="not_found", says="'nothing'")


@pytest.mark.parametrize("path", ["/api/v1/nothing", "/nothing"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_unknown_url_is_a_404_in_json(stack: Stack, method: str, path: str) -> None:
    with stack.client() as client:
        response = client.request(method, path)
    assert_error(response, status=404, code="not_found", says=path)


def test_no_key_is_a_401(stack: Stack) -> None:
    response = ask(stack, b'{"input":[1]}', headers={})
    assert_error(response, status=401, code="unauthenticated", says="Api-Key")
    assert response.headers["www-authenticate"].startswith("Api-Key")


@pytest.mark.parametrize("value", ["Api-Key wrong", "Api-Key \xff"])
def test_an_unknown_key_is_a_401(stack: Stack, value: str) -> None:
    response = ask(stack, b'{"input":[1]}', headers={"Authorization": value.encode("latin-1")})
    assert_error(response, status=401, code="unauthenticated", says="")


def test_a_key_without_the_scope_is_a_403(stack: Stack) -> None:
    key = stack.new_key("feedback-only", scopes="feedback")
    response = ask(stack, b'{"input":[1]}', headers={"Authorization": f"Api-Key {key}"})
    assert_error(response, status=403, code="forbidden", says="predict")


def test_a_get_is_a_405(stack: Stack) -> None:
    with stack.client() as client:
        response = client.get(PREDICT)
    assert_error(response, status=405, code="method_not_allowed", says="POST")
    assert response.headers["allow"] == "POST"


def test_a_compressed_body_is_a_415(stack: Stack) -> None:
    headers = stack.headers | {"Content-Encoding": "gzip"}
    response = ask(stack, b"\x1f\x8b", headers=headers)
    assert_error(response, status=415, code="unsupported_encoding", says="gzip")


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
