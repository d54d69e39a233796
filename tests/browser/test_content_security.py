"""No page loads or runs anything but files of our own."""

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.test import Client

from clipper_site.security.content_security import HEADER
from console.application_pages import APPLICATION_PAGES
from registry import services
from registry.models import ModelVersion
from tests.browser.conftest import SignIn

pytestmark = pytest.mark.browser

BY = services.Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True)

PAGES = (
    "/admin/",
    "/admin/registry/application/",
    "/admin/applications/new/",
    "/admin/registry/application/{application}/change/",
    "/admin/registry/application/{application}/delete/",
    *(f"/admin/applications/digits/{page.path}/".replace("//", "/") for page in APPLICATION_PAGES),
    "/admin/registry/model/",
    "/admin/registry/model/{model}/change/",
    "/admin/registry/modelversion/add/",
    "/admin/registry/modelversion/{version}/change/",
    "/admin/registry/modelversion/{version}/deploy/",
    "/admin/registry/release/",
    "/admin/registry/release/{release}/change/",
    "/admin/registry/apikey/add/",
    "/admin/timeline/",
    "/admin/system/",
    "/admin/people/",
    "/admin/password_change/",
    "/api/v1/docs/",
    "/feedback/digits/",
)


def test_every_page_keeps_to_its_policy(
    sign_in: SignIn, owner: User, make_version: Callable[..., ModelVersion]
) -> None:
    v1 = make_version()
    application = services.create_application(
        name="digits", input_type="doubles", slo_ms=50.0, by=services.SYSTEM
    )
    release = services.deploy(version=v1, by=BY)
    known = {
        "application": application.pk,
        "model": v1.model_id,
        "version": v1.pk,
        "release": release.pk,
    }
    page = sign_in(owner)
    violations: list[str] = []
    page.on(
        "console",
        lambda message: (
            violations.append(message.text) if "Content Security Policy" in message.text else None
        ),
    )
    for path in PAGES:
        answer = page.goto(path.format(**known), wait_until="load")
        assert answer is not None
        policy = answer.headers.get(HEADER.lower(), "")
        assert "default-src 'none'" in policy, path
        script = policy.partition("script-src")[2].partition(";")[0]
        assert "unsafe-inline" not in script, path
        assert "frame-ancestors 'none'" in policy, path
    assert violations == []


@pytest.mark.django_db
@pytest.mark.parametrize("path", ["/admin/login/", "/admin/nothing/", "/api/v1/models/", "/nope"])
def test_what_anybody_gets_has_its_headers(path: str) -> None:
    answer = Client().get(path)
    assert "default-src 'none'" in answer[HEADER]
    assert answer["X-Content-Type-Options"] == "nosniff"
    assert answer["Referrer-Policy"] == "same-origin"
    assert answer["Cross-Origin-Opener-Policy"] == "same-origin"
    assert answer["X-Frame-Options"] == "DENY"
