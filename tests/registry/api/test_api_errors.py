"""One error shape, whatever is wrong; the schema and its page."""

import gzip
import io
from pathlib import Path
from typing import Any

import pytest
from django.core.handlers.asgi import ASGIRequest
from django.core.management import call_command
from django.db import OperationalError
from django.http import UnreadablePostError
from django.test import Client
from pytest_django.fixtures import Settings

from registry.api.error_shape import translated
from registry.models import Application
from tests.registry.conftest import Api


def post(api: Api, content: bytes, content_type: str = "application/json", **headers: str) -> Any:
    return api.client.post(
        "/api/v1/models/",
        content,
        content_type=content_type,
        headers=api.headers | {name.replace("_", "-"): value for name, value in headers.items()},
    )


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"\xff\xfe",
        b'{"name": NaN}',
        b'{"name": "\\ud800"}',
        b"[" * 100_000 + b"]" * 100_000,
        b"{'name': 'svm'}",
    ],
)
def test_what_is_no_json_is_refused(manager: Api, content: bytes) -> None:
    answer = post(manager, content)
    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_json")


def test_a_charset_beside_the_type_is_fine(manager: Api) -> None:
    body = b'{"name": "svm", "input_type": "doubles"}'
    assert post(manager, body, "application/json; charset=utf-8").status_code == 201


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded"])
def test_another_type_is_unsupported(manager: Api, content_type: str) -> None:
    answer = post(manager, b"name=svm", content_type)
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")
    assert answer.json()["error"].startswith("Expected a body of the type application/json: ")
    assert content_type in answer.json()["error"]


def test_a_compressed_body_is_unsupported(manager: Api) -> None:
    answer = post(manager, gzip.compress(b"{}"), Content_Encoding="gzip")
    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_encoding")


def test_a_body_over_the_limit_is_too_large(manager: Api, settings: Settings) -> None:
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 100
    answer = post(manager, b'"' + b"x" * 200 + b'"')
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")


def test_a_method_that_is_not_there_is_named_with_those_that_are(manager: Api) -> None:
    answer = manager("delete", "applications/")
    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
    assert answer["Allow"] == "GET, POST, HEAD"


@pytest.mark.parametrize("path", ["/api/", "/api/v1/", "/api/v1/nothing/here", "/api/v9/models/"])
@pytest.mark.parametrize("method", ["get", "post", "delete"])
def test_an_unknown_url_is_not_found_in_json(path: str, method: str) -> None:
    answer = getattr(Client(enforce_csrf_checks=True), method)(path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "nonsense"])
def test_it_answers_json_whatever_is_accepted(manager: Api, accept: str) -> None:
    for path, status in (("models/", 200), ("models/tree", 404)):
        answer = manager("get", path, headers={"Accept": accept})
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")


def test_a_wrong_host_is_refused_in_json(manager: Api) -> None:
    answer = manager("get", "models/", headers={"Host": "elsewhere.example"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_a_fault_of_ours_tells_no_secrets(
    manager: Api, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise RuntimeError("the secret")

    monkeypatch.setattr(Application.objects, "all", fail)
    answer = manager("get", "applications/")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.content.decode()
    assert "the secret" in caplog.text


def test_a_busy_database_says_when_to_try_again(
    manager: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object) -> None:
        raise OperationalError("database is locked")

    monkeypatch.setattr(Application.objects, "all", fail)
    answer = manager("get", "applications/")
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert int(answer["Retry-After"]) >= 1


def test_the_schema_is_complete_and_without_warnings(tmp_path: Path) -> None:
    call_command("spectacular", "--validate", "--fail-on-warn", "--file", str(tmp_path / "schema"))
    text = (tmp_path / "schema").read_text()
    for path in (
        "/api/v1/applications/{application}/slo:",
        "/api/v1/models/{model}/versions/{version}/deploy:",
        "/api/v1/models/{model}/releases/{release}:",
    ):
        assert path in text


def test_the_schema_and_its_page_need_no_key(client: Client) -> None:
    assert client.get("/api/v1/schema/").status_code == 200
    page = client.get("/api/v1/docs/")
    assert page.status_code == 200
    assert b"swagger-ui" in page.content


@pytest.mark.parametrize(
    ("why", "code"), [(ConnectionResetError("it left"), "malformed"), (OSError(5, "no disk"), None)]
)
def test_only_a_client_that_left_is_told_of_a_body_that_cannot_be_read(
    why: OSError, code: str | None
) -> None:
    class Body(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            raise why

    scope = {"type": "http", "method": "POST", "path": "/", "headers": []}
    with pytest.raises(UnreadablePostError) as told:
        ASGIRequest(scope, Body()).read()
    known = translated(told.value)
    assert (known and known.code) == code
