"""Errors of a version and output of its replicas: REST and console."""

from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import Client
from msgspec import Raw
from pytest_django.fixtures import Settings

from registry import services
from registry.models import Application, Model, ModelVersion
from serving.capture.models import CapturedBody
from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.container.failures.recent_failures import Failure
from tests.console.pages.test_review import captured
from tests.console.people import staff
from tests.redis_server import fresh_redis_client

TRACEBACK = 'Traceback:\n  File "predictor.py", line 3, in <module>\nValueError: <b>no</b>'
API = "/api/v1/models/svm/versions/2"


@pytest.fixture(autouse=True)
def version(db: None, server_redis: redis.Redis, settings: Settings, tmp_path: Path) -> Any:
    settings.CLIPPER_REPLICA_LOGS = tmp_path
    model = Model.objects.create(name="svm", input_type="doubles")
    version = ModelVersion.objects.create(
        model=model, version="2", runtime="python", digest="a" * 64, size=1
    )
    failure = Failure(
        kind="k", error="ValueError: no", traceback=TRACEBACK, count=3, last_at=1000.0
    )
    ErrorLog(server_redis).add(version.pk, [failure], phase=Phase.SERVE, replica="abc")
    (tmp_path / "svm@2@abc.log").write_text("loading\n<i>slow</i>\n")
    return version


def test_the_errors_of_a_version_are_listed(owner: Client) -> None:
    assert owner.get(f"{API}/errors").json() == [
        {
            "error": "ValueError: no",
            "traceback": TRACEBACK,
            "phase": "serve",
            "replica": "abc",
            "count": 3,
            "first_at": "1970-01-01T00:16:40Z",
            "last_at": "1970-01-01T00:16:40Z",
        }
    ]


@pytest.mark.parametrize("url", [f"{API}/log", "/api/v1/replicas/abc/log"])
def test_what_a_replica_wrote_is_read_line_by_line(owner: Client, url: str) -> None:
    assert owner.get(url).json() == {"replica": "abc", "lines": ["loading", "<i>slow</i>"]}
    assert owner.get(url, {"lines": 1}).json()["lines"] == ["<i>slow</i>"]
    assert owner.get(url, {"lines": 0}).status_code == 400


@pytest.mark.parametrize(
    "url", ["/api/v1/replicas/other/log", "/api/v1/models/svm/versions/3/errors"]
)
def test_what_is_not_there_is_not_found(owner: Client, url: str) -> None:
    assert owner.get(url).status_code == 404


@pytest.mark.parametrize(
    "url", [f"{API}/errors", f"{API}/log", "/api/v1/replicas/abc/log", "/admin/versions/{}/errors/"]
)
def test_nobody_reads_it_without_the_permission(version: ModelVersion, url: str) -> None:
    assert staff().get(url.format(version.pk)).status_code == 403
    assert Client().get(url.format(version.pk)).status_code in (302, 401)


@pytest.mark.parametrize("url", [f"{API}/errors", f"{API}/log", "/api/v1/replicas/abc/log"])
def test_a_bound_key_reads_of_the_models_it_reaches_alone(version: ModelVersion, url: str) -> None:
    application: Application = services.create_application(
        name="digits", input_type="doubles", slo_ms=50.0, by=services.SYSTEM
    )
    _, key = services.create_api_key(
        name="bound",
        scopes=["manage"],
        applications=[application],
        by=services.Actor.of_command("test"),
    )
    headers = {"Authorization": f"Api-Key {key}"}

    assert Client().get(url, headers=headers).status_code == 404


def test_the_console_shows_both_and_escapes_them(owner: Client, version: ModelVersion) -> None:
    page = owner.get(f"/admin/versions/{version.pk}/errors/").content.decode()

    assert "3 times in serve" in page
    assert "ValueError: &lt;b&gt;no&lt;/b&gt;" in page
    assert "loading\n&lt;i&gt;slow&lt;/i&gt;" in page


def test_redis_away_is_said(owner: Client, version: ModelVersion, settings: Settings) -> None:
    settings.REDIS_URL = "unix:///nonexistent/redis.sock"
    with fresh_redis_client():
        assert owner.get(f"{API}/errors").status_code == 503
        page = owner.get(f"/admin/versions/{version.pk}/errors/").content.decode()
    assert "which is away" in page


def test_a_captured_input_that_failed_is_shown_to_those_who_may_see_inputs(
    owner: Client, version: ModelVersion
) -> None:
    application: Application = services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50.0,
        routes=[services.RouteRequest(model="svm")],
        by=services.SYSTEM,
    )
    body = CapturedBody(input=Raw(b'["<4>"]'), missing={"svm:2": "failed"})
    row = captured(application, failed=True, body=body.packed())
    page = f"/admin/versions/{version.pk}/errors/"

    shown = owner.get(page).content.decode()
    assert "&lt;4&gt;" in shown
    assert f"/admin/applications/digits/try/?captured={row.pk}" in shown
    assert "&lt;4&gt;" not in staff("view_modelversion").get(page).content.decode()
