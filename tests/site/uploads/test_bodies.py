"""Bodies of requests to the console: refused if too large, and read in chunks."""

import pytest
from django.conf import settings
from django.test import Client as Browser
from pytest_django.fixtures import Settings

from clipper_site.uploads.bodies import limit_of, with_limited_bodies
from registry import services
from registry.models import Model
from serving.http.asgi import Endpoint, Receive, Scope, Send
from serving.http.limits import LIMITS_KEY, Limits
from tests.site.uploads.asgi_client import CHUNK, Client, Headers, ask, console, key_header

MOST = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
LOGIN, MODEL = "/admin/login/", "/api/v1/models/svm"
PART = b'--xyz\r\nContent-Disposition: form-data; name="%b"\r\n\r\n%b\r\n'


async def reads_all(scope: Scope, receive: Receive, send: Send) -> None:
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        more = message["more_body"]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def sent(size: int, *, announced: str = "", to: Endpoint = reads_all) -> Client:
    headers = (("content-length", announced),) if announced else ()
    client = Client(path=LOGIN, body=bytes(size), headers=headers)
    return ask(client, application=with_limited_bodies(to))


@pytest.mark.parametrize("announced", [str(MOST + 1), "9" * 5000])
def test_a_body_that_is_announced_too_large_is_not_read(announced: str) -> None:
    client = sent(MOST + 1, announced=announced)
    assert (client.status, client.json["code"]) == (413, "body_too_large")
    assert client.position == 0


@pytest.mark.parametrize("django", [True, False])
def test_a_body_without_a_length_is_read_no_further_than_the_limit(django: bool) -> None:
    client = Client(path=LOGIN, body=bytes(10 * MOST))
    ask(client, application=console() if django else with_limited_bodies(reads_all))
    assert client.status == 413
    assert client.position <= MOST + CHUNK


def test_a_body_at_the_limit_passes() -> None:
    assert sent(MOST, announced=str(MOST)).status == 200


def test_an_answer_that_has_begun_is_not_begun_again() -> None:
    async def hasty(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while (await receive())["type"] != "http.disconnect":
            pass

    client = sent(2 * MOST, to=hasty)
    assert (client.status, len(client.answer)) == (200, 1)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/models/svm/versions",
        "/admin/registry/modelversion/add/",
        "/admin/applications/new/",
    ],
)
def test_uploads_may_be_as_large_as_an_artifact(path: str, settings: Settings) -> None:
    settings.CLIPPER_MAX_ARTIFACT_BYTES = 20 << 20
    form = [(b"content-type", b"multipart/form-data; boundary=x")]
    upload = {"method": "POST", "path": path, "headers": form}
    assert limit_of(upload) == (20 << 20) + MOST
    assert limit_of(upload | {"path": f"{path.rstrip('/')}/other"}) == MOST
    assert limit_of(upload | {"method": "PUT"}) == MOST
    assert limit_of(upload | {"headers": []}) == MOST


def test_what_is_kept_in_memory_of_bodies_is_bounded_over_all_connections() -> None:
    limits = Limits(unfinished_bytes=CHUNK)
    client = Client(path=LOGIN, body=bytes(2 * CHUNK))
    client.scope["state"] = {LIMITS_KEY: limits}
    ask(client, application=with_limited_bodies(reads_all))
    assert (client.status, client.json["code"]) == (503, "saturated")
    assert limits.held == 0


# --- in chunks -------------------------------------------------------------------------------


@pytest.fixture
def model(transactional_db: None) -> None:
    services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)


def in_chunks(method: str, path: str, body: bytes, *, type: str, headers: Headers) -> Client:
    fields = (("transfer-encoding", "chunked"), ("content-type", type), *headers)
    return ask(Client(method=method, path=path, body=body, headers=fields, piece=5))


@pytest.mark.usefixtures("model")
def test_json_is_read() -> None:
    change = b'{"description": "in chunks"}'
    done = in_chunks("PATCH", MODEL, change, type="application/json", headers=key_header("manage"))
    assert done.status == 200
    assert Model.objects.get(name="svm").description == "in chunks"


@pytest.mark.usefixtures("model")
@pytest.mark.parametrize("piece", [b"abc", b""], ids=["bytes", "nothing"])
def test_a_piece_of_an_artifact_is_one(piece: bytes) -> None:
    """Also one of no bytes, which no range fits."""
    path, kind = f"/api/v1/uploads/{'0' * 64}", "application/octet-stream"
    headers = (*key_header("manage"), ("content-range", "bytes 0-9/30"))
    done = in_chunks("PUT", path, piece, type=kind, headers=headers)
    assert done.status == 400
    assert f"with {len(piece)} bytes" in done.json["error"]


FORM = "multipart/form-data; boundary=xyz"


@pytest.mark.usefixtures("model")
def test_a_form_with_room_for_files_is_read() -> None:
    """It has its token among its fields."""
    browser = Browser()
    browser.get(LOGIN)
    cookie = browser.cookies[settings.CSRF_COOKIE_NAME]
    fields = {b"csrfmiddlewaretoken": cookie.value.encode(), b"username": b"nobody"}
    body = b"".join(PART % field for field in fields.items()) + b"--xyz--\r\n"
    headers = (("cookie", f"{cookie.key}={cookie.value}"),)
    page = in_chunks("POST", LOGIN, body, type=FORM, headers=headers)
    assert page.status == 200
    assert b'value="nobody"' in page.content


@pytest.mark.usefixtures("model")
def test_an_upload_without_its_length_is_refused_as_such() -> None:
    """Its length says beforehand whether there is room for it."""
    body = PART % (b"version", b"1") + PART % (b"runtime", b"sklearn") + b"--xyz--\r\n"
    headers = key_header("manage")
    refused = in_chunks("POST", f"{MODEL}/versions/", body, type=FORM, headers=headers)
    assert (refused.status, refused.json["code"]) == (400, "malformed")
    assert "Content-Length" in refused.json["error"]
