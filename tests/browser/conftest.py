"""A real Chromium on a real server; a cast of two, an owner and a viewer who may only look."""

import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.core.cache import cache
from django.test import Client
from playwright.sync_api import Browser, Page
from pytest_django.live_server_helper import LiveServer

from registry import services
from registry.models import Application, Model, ModelVersion
from registry.services import Actor, RouteRequest
from tests.chromium import running_chromium

PASSWORD = "correct horse battery staple"
DESKTOP = {"width": 1440, "height": 1000}
PHONE = {"width": 390, "height": 844}

SignIn = Callable[..., Page]
MakeVersion = Callable[..., ModelVersion]


@pytest.fixture(scope="package")
def chromium() -> Iterator[Browser]:
    """One for all: none of the tests here is asynchronous."""
    with running_chromium() as browser:
        yield browser


@pytest.fixture(scope="package", autouse=True)
def _django_beside_playwright() -> Iterator[None]:
    """Playwright's blocking API runs an event loop in this thread, which Django takes for ours."""
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    yield
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


@pytest.fixture(autouse=True)
def _what_the_server_needs(server_redis: object, settings: Any) -> None:
    """A Redis of its own, nothing that pages kept, and the folder of its static files."""
    cache.clear()
    Path(settings.STATIC_ROOT).mkdir(parents=True, exist_ok=True)


@pytest.fixture
def open_page(chromium: Browser, live_server: LiveServer) -> Iterator[Callable[..., Page]]:
    """Open a page in a browser of its own; what its console complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def open_one(*, theme: Literal["dark", "light"] = "light", viewport: Any = DESKTOP) -> Page:
        context = chromium.new_context(
            base_url=live_server.url, color_scheme=theme, viewport=viewport
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(45_000)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console",
            lambda message: complaints.extend([message.text] * (message.type == "error")),
        )
        return page

    open_one.complaints = complaints  # type: ignore[attr-defined]
    yield open_one
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_superuser("owner", password=PASSWORD)


@pytest.fixture
def viewer(transactional_db: None) -> User:
    user = User.objects.create_user("viewer", password=PASSWORD, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    return user


@pytest.fixture
def sign_in(open_page: Callable[..., Page], live_server: LiveServer) -> SignIn:
    """Give a new page the session of somebody who has signed in; it shows nothing yet."""

    def sign_in_as(user: User, **look: Any) -> Page:
        page = open_page(**look)
        client, name = Client(), settings.SESSION_COOKIE_NAME
        client.force_login(user)
        session = client.cookies[name].value
        page.context.add_cookies([{"name": name, "value": session, "url": live_server.url}])
        return page

    return sign_in_as


@pytest.fixture
def make_version(owner: User) -> MakeVersion:
    def make(*, model: str = "svm", version: str = "1", live: bool = False) -> ModelVersion:
        row, _ = Model.objects.get_or_create(name=model, input_type="doubles")
        made = services.create_version(
            model=row,
            version=version,
            runtime="sklearn",
            artifact=io.BytesIO(f"artifact of {model}:{version}".encode()),
            by=Actor.of_user(owner),
        )
        if live:
            go_live(made, by=owner)
        return made

    return make


@pytest.fixture
def digits(make_version: MakeVersion) -> Application:
    """An application of two models, both live."""
    for model in ("svm", "forest"):
        make_version(model=model, live=True)
    return services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50,
        policy="exp4",
        routes=[RouteRequest(model="svm"), RouteRequest(model="forest")],
        by=services.SYSTEM,
    )


def go_live(version: ModelVersion, *, by: User) -> None:
    release = services.deploy(version=version, by=Actor.of_user(by), reason="set up by the test")
    services.begin_release(release=release)
    services.complete_release(release=release)
