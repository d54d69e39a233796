"""What the console is sent in chunks is read as what says its length."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import msgspec
import pytest
from django.conf import settings
from django.test import Client as Browser

from clipper_site.bodies import with_limited_bodies
from clipper_site.uploads import UploadHandlingASGIHandler
from registry import services
from registry.models import Model
from registry.services import Actor

pytestmark = pytest.mark.django_db(transaction=True)

BY = Actor(user=None, label="a test", may_grant_manage=True)
MODEL = "/api/v1/models/svm"
FORM = b"multipart/form-data; boundary=xyz"
PART = b'--xyz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'


@pytest.fixture(autouse=True)
def model() -> None:
    services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)


def a_key() -> tuple[bytes, bytes]:
    _, text = services.create_api_key(name="a key", scopes=("manage",), by=BY)
    return (b"authorization", f"Api-Key {text}".encode())


def sent(
    method: str, path: str, body: bytes, *, type: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> tuple[int, bytes]:
    """Send a body in chunks; return status and body of the answer."""
    pieces = [body[:5], body[5:], b""]
    answer: list[MutableMapping[str, Any]] = []
    scope: MutableMapping[str, Any] = {
        "type": "http",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"transfer-encoding", b"chunked"),
            (b"content-type", type),
            *headers,
        ],
    }

    async def receive() -> MutableMapping[str, Any]:
        if not pieces:
            await asyncio.Event().wait()  # a client that waits for its answer
        return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

    async def send(message: MutableMapping[str, Any]) -> None:
        answer.append(message)

    application: Any = with_limited_bodies(UploadHandlingASGIHandler())  # type: ignore[arg-type]  # Django's
    asyncio.run(application(scope, receive, send))
    return int(answer[0]["status"]), b"".join(each["body"] for each in answer[1:])


def test_json_is_read() -> None:
    headers = (a_key(),)
    change = b'{"description": "in chunks"}'
    assert sent("PATCH", MODEL, change, type=b"application/json", headers=headers)[0] == 200
    assert Model.objects.get(name="svm").description == "in chunks"


def test_what_is_wrong_with_it_is_told() -> None:
    status, answer = sent("PATCH", MODEL, b"{", type=b"application/json", headers=(a_key(),))
    assert (status, msgspec.json.decode(answer)["code"]) == (400, "invalid_json")


@pytest.mark.parametrize("piece", [b"abc", b""], ids=["bytes", "nothing"])
def test_a_piece_of_an_artifact_is_one(piece: bytes) -> None:
    """Also one of no bytes, which no range fits."""
    status, answer = sent(
        "PUT",
        f"/api/v1/uploads/{'0' * 64}",
        piece,
        type=b"application/octet-stream",
        headers=(a_key(), (b"content-range", b"bytes 0-9/30")),
    )
    assert status == 400
    assert f"with {len(piece)} bytes" in msgspec.json.decode(answer)["error"]


def test_a_form_with_room_for_files_is_read() -> None:
    """It has its token among its fields."""
    browser = Browser()
    browser.get("/admin/login/")
    cookie = browser.cookies[settings.CSRF_COOKIE_NAME]
    fields = {b"csrfmiddlewaretoken": cookie.value.encode(), b"username": b"nobody"}
    body = b"".join(PART % field for field in fields.items()) + b"--xyz--\r\n"
    headers = ((b"cookie", f"{cookie.key}={cookie.value}".encode()),)
    status, page = sent("POST", "/admin/login/", body, type=FORM, headers=headers)
    assert status == 200
    assert b'value="nobody"' in page


def test_an_upload_without_its_length_is_refused_as_such() -> None:
    """Its length says beforehand whether there is room for it."""
    body = PART % (b"version", b"1") + PART % (b"runtime", b"sklearn") + b"--xyz--\r\n"
    status, answer = sent("POST", f"{MODEL}/versions/", body, type=FORM, headers=(a_key(),))
    assert (status, msgspec.json.decode(answer)["code"]) == (400, "malformed")
    assert "Content-Length" in msgspec.json.decode(answer)["error"]
