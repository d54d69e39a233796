"""A small cast of callers and a registry to call about."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from pytest_django.fixtures import Settings

from registry import services
from registry.models import Application, Model, ModelVersion, Release, VersionCheck
from registry.services import Actor, RouteRequest

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True, may_grant_read=True)

AddVersion = Callable[..., ModelVersion]


@pytest.fixture(autouse=True)
def _own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.CLIPPER_VAR = tmp_path
    settings.CLIPPER_ARTIFACTS = tmp_path / "artifacts"


class Api:
    """A client of the management API: JSON in, JSON out, with one caller's credentials."""

    def __init__(self, *, key: str | None = None, client: Client | None = None) -> None:
        self.client = client or Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Api-Key {key}"} if key else {}

    def __call__(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        sent: dict[str, Any] = {"data": json.dumps(body), "content_type": "application/json"}
        return self.client.generic(
            method.upper(),
            f"/api/v1/{path}",
            headers=self.headers | options.pop("headers", {}),
            **({} if body is None else sent),
        )

    def upload(self, model: str, **form: Any) -> Any:
        return self.client.post(f"/api/v1/models/{model}/versions/", form, headers=self.headers)


def make_key(*, scopes: tuple[str, ...] = ("manage",), **options: Any) -> str:
    _, text = services.create_api_key(name="a key", scopes=scopes, by=BY, **options)
    return text


@pytest.fixture
def manager(db: None) -> Api:
    return Api(key=make_key())


@pytest.fixture
def predictor(db: None) -> Api:
    return Api(key=make_key(scopes=("predict", "feedback")))


@pytest.fixture
def stranger(db: None) -> Api:
    return Api()


@pytest.fixture
def bound_manager(digits: Application) -> Api:
    """Holds a key that manages the application `digits` and nothing else."""
    return Api(key=make_key(applications=[digits]))


def signed_in(**flags: Any) -> tuple[User, Api]:
    user = User.objects.create_user("grace", password="a long enough password", **flags)
    client = Client(raise_request_exception=False)
    client.force_login(user)
    return user, Api(client=client)


@pytest.fixture
def administrator(db: None) -> Api:
    return signed_in(is_staff=True, is_superuser=True)[1]


@pytest.fixture
def editor(db: None) -> Api:
    """A member of the staff who may change applications, and nothing else."""
    user, api = signed_in(is_staff=True)
    user.user_permissions.add(Permission.objects.get(codename="change_application"))
    return api


@pytest.fixture
def visitor(db: None) -> Api:
    """Signed in, but not staff."""
    return signed_in()[1]


@pytest.fixture
def svm(db: None) -> Model:
    return services.create_model(
        name="svm", input_type="doubles", description="a line", by=services.SYSTEM
    )


@pytest.fixture
def add_version(svm: Model) -> AddVersion:
    def add(version: str, *, model: Model | None = None, **options: Any) -> ModelVersion:
        artifact = io.BytesIO(options.pop("content", f"artifact {version}".encode()))
        return services.create_version(
            model=model or svm,
            version=version,
            runtime="sklearn",
            artifact=artifact,
            by=BY,
            **options,
        )

    return add


@pytest.fixture
def v1(add_version: AddVersion) -> ModelVersion:
    return add_version("1")


@pytest.fixture
def v2(add_version: AddVersion) -> ModelVersion:
    return add_version("2")


@pytest.fixture
def digits(v1: ModelVersion) -> Application:
    return services.create_application(
        name="digits",
        input_type="doubles",
        slo_ms=50.0,
        default_output=-1,
        policy="exp4",
        routes=[RouteRequest(model="svm")],
        by=services.SYSTEM,
    )


def link(
    application: Application,
    *,
    model: Model,
    version: ModelVersion | None = None,
    by: Actor = BY,
    allow_signature_change: bool = False,
) -> None:
    """Give the application one more arm, beside those that it has."""
    present = [
        RouteRequest(
            model=route.model.name,
            version=route.pinned_version.version if route.pinned_version else None,
            weight=route.weight,
        )
        for route in application.routes.with_versions()
    ]
    added = RouteRequest(model=model.name, version=version.version if version else None)
    services.replace_routes(
        application=application,
        routes=[*present, added],
        by=by,
        allow_signature_change=allow_signature_change,
    )


def passed(version: ModelVersion, **found: Any) -> VersionCheck:
    """Have a check of the version end well, which has found this."""
    check = services.request_check(version)
    services.pass_check(check=check, **found)
    check.refresh_from_db()
    return check


def go_live(version: ModelVersion) -> Release:
    """Deploy a version as the cluster does: its artifact loads, its replicas get ready."""
    release = services.deploy(version=version, by=BY)
    passed(version)
    services.begin_release(release=release)
    services.complete_release(release=release)
    return release
