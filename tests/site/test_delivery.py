"""Files and pages as a browser gets them: hashed, kept for good, compressed; errors as pages."""

import gzip
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.management import call_command
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from clipper_site.delivery import CompressedText, HashedFiles
from registry.api.error_shape import server_error_page

BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.fixture
def collected(tmp_path: Path, settings: Any) -> HashedFiles:
    settings.STATIC_ROOT = tmp_path / "static"
    call_command("collectstatic", interactive=False, verbosity=0, ignore_patterns=["*.map"])
    return HashedFiles()


def test_files_have_their_content_in_their_names_and_are_kept_for_good(
    collected: HashedFiles, client: Client
) -> None:
    url = collected.url("console/console.css")
    assert url != "/static/console/console.css"
    answer: Any = client.get(url, headers={"Accept-Encoding": "gzip"})
    assert (answer.status_code, answer["Content-Encoding"]) == (200, "gzip")
    assert "immutable" in answer["Cache-Control"]
    style = gzip.decompress(b"".join(answer.streaming_content)).decode()
    assert collected.url("console/tokens.css").rpartition("/")[2] in style


def test_a_file_that_was_not_collected_has_its_plain_name() -> None:
    assert staticfiles_storage.url("console/nothing.js") == "/static/console/nothing.js"


def page(text: str, *, kind: str = "text/html", streamed: bool = False) -> Any:
    if streamed:
        return StreamingHttpResponse([text.encode()], content_type=kind)
    return HttpResponse(text, content_type=kind)


@pytest.mark.parametrize(
    ("answer", "compressed"),
    [
        (page("long " * 200), True),
        (page("[1, " * 200, kind="application/json"), True),
        (page("short"), False),
        (page("data: 1\n\n" * 200, kind="text/event-stream", streamed=True), False),
        (page("bytes" * 200, kind="application/octet-stream"), False),
    ],
)
def test_pages_are_compressed_and_streams_are_not(answer: Any, compressed: bool) -> None:
    request = RequestFactory().get("/", headers={"Accept-Encoding": "gzip"})
    done = CompressedText(lambda _: answer)(request)
    assert (done.headers.get("Content-Encoding") == "gzip") == compressed


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/nonsense", "/admin/auth/nonsense/", "/feedback/nonsense/"])
def test_browsers_get_a_page_where_nothing_is(admin_client: Client, path: str) -> None:
    answer = admin_client.get(path, headers=BROWSER)
    assert answer.status_code == 404
    assert 'lang="en"' in answer.text
    assert "Open the console" in answer.text


def test_programs_get_json_where_nothing_is(client: Client) -> None:
    for path, accept in (("/nonsense", "*/*"), ("/api/v1/nonsense/", "text/html")):
        answer = client.get(path, headers={"Accept": accept})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_a_form_without_its_token_says_what_to_do() -> None:
    answer = Client(enforce_csrf_checks=True).post("/admin/login/", {}, headers=BROWSER)
    assert answer.status_code == 403
    assert "Load the page again" in answer.text
    assert "Nothing was changed" in answer.text


@pytest.mark.django_db
def test_a_page_that_one_may_not_see_names_who_can_help(client: Client) -> None:
    client.force_login(User.objects.create_user("viewer", is_staff=True))
    answer = client.get("/admin/people/", headers=BROWSER)
    assert answer.status_code == 403
    assert "People &amp; keys" in answer.text


def test_the_page_of_a_fault_asks_nothing_of_the_database() -> None:
    request = RequestFactory().get("/admin/", headers=BROWSER)
    answer = server_error_page(request)
    assert answer.status_code == 500
    assert "the log says what" in answer.content.decode()
