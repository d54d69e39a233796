"""Rights: every endpoint of the management API against a small cast of callers."""

import io
import itertools
import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import redis
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone
from pytest_django.fixtures import Settings
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory, force_authenticate

from console.application_pages import APPLICATION_PAGES
from registry import services
from registry.api.views.key_views import JoinView
from registry.api.views.management_view import ManagementView
from registry.models import Application, Model, ModelVersion, OwnPlan, Release, Rollout
from registry.models.rollouts.rollout_plans import PLANS, definition_of
from registry.services import Actor, RouteRequest
from serving.alerts.channels import create_channel
from serving.alerts.models import Alert
from serving.capture.models import CapturedBody, CapturedInput, TrafficReplay
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from tests.made_once import MadeOnce
from tests.site.security.endpoints import ENDPOINTS, ONLY_READ, OWN, PIECE, REMOTE, UPLOAD, Endpoint

BY = Actor(user=None, label="a test", may_run_code=True, may_grant_manage=True, may_grant_read=True)
REGISTRY = MadeOnce()
# They answer anybody: the first two hold no secrets, the last says that nothing is there.
OPEN = {"SchemaView", "DocsView", "unknown_url"}
LISTS = ("applications/", "models/", "replicas/", "audit/", "timeline/", "alerts/")
SIZES = itertools.count(1)
EVERY = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda endpoint: endpoint.name)


class Caller:
    """Asks with one key or one session."""

    def __init__(self, *, key: str | None = None, user: User | None = None) -> None:
        self.client = Client(raise_request_exception=False)
        self.headers = {"Authorization": f"Api-Key {key}"} if key else {}
        if user is not None:
            self.client.force_login(user)

    def ask(self, endpoint: Endpoint) -> Any:
        path = path_of(endpoint)
        if endpoint.body == PIECE:
            # The folder outlives a test: each begins another one.
            headers = self.headers | {"Content-Range": f"bytes 0-0/{next(SIZES)}"}
            kind = "application/octet-stream"
            return self.client.put(f"/api/v1/{path}", b"x", content_type=kind, headers=headers)
        if endpoint.body == UPLOAD:
            form = {"version": "9", "runtime": "sklearn"}
            artifact = SimpleUploadedFile("a.skops", b"bytes")
            return self.client.post(
                f"/api/v1/{path}", form | {"artifact": artifact}, headers=self.headers
            )
        return self.client.generic(
            endpoint.method,
            f"/api/v1/{path}",
            data="" if endpoint.body is None else json.dumps(endpoint.body),
            content_type="application/json",
            headers=self.headers,
        )


def path_of(endpoint: Endpoint) -> str:
    """Its path, with the ids of rows in it; the key there is made for it."""
    path = endpoint.path
    if "{release}" in path:
        path = path.format(release=Model.objects.get(name="ocr").releases.earliest("id").pk)
    if "{rollout}" in path:
        path = path.format(rollout=open_rollout())
    if path.endswith(("replays/", "captured-sets/", "captured-sets/golden")):
        kept = "golden" if path.endswith("golden") else ""
        capture(Application.objects.get(name="letters"), set_name=kept)
    if "{replay}" in path:
        path = path.format(replay=open_replay())
    if "{plan}" in path:
        OwnPlan.objects.get_or_create(name="slow", definition={"steps": [{"percent": 5.0}]})
        path = path.format(plan="slow")
    if "{key}" in path:
        path = path.format(key=strangers_key())
    if "{alert}" in path:
        path = path.format(alert=strangers_alert())
    if "{channel}" in path:
        made, _ = create_channel(name="theirs", kind="chat", target="https://8.8.8.8/", by=BY)
        path = path.format(channel=made.pk)
    return path


def open_rollout() -> int:
    """Return a rollout under way, of the version that a release is under way for."""
    ocr = Model.objects.get(name="ocr")
    known = Rollout.objects.open().filter(model=ocr).first()
    if known is not None:
        return known.pk
    live = ocr.live_version_id or 0
    version = ocr.versions.exclude(pk=live).order_by("version").last()
    assert version is not None
    release = Release.objects.create(
        model=ocr,
        version=version,
        previous_version_id=live or None,
        kind="deploy",
        state="starting",
    )
    made = Rollout.objects.create(
        release=release,
        model=ocr,
        plan_name="quick",
        definition=definition_of(PLANS["quick"]),
        state="canary",
    )
    return made.pk


def capture(application: Application, *, set_name: str = "") -> CapturedInput:
    """A captured query of an application."""
    measures = {"chance": 1.0, "confidence": 1.0, "latency_ms": 1.0, "size": 1}
    ends = {"disagreed": False, "late": False, "failed": False}
    body = CapturedBody(input=msgspec.Raw(b"[1]")).packed()
    return CapturedInput.objects.create(
        application=application, uid=f"test:{next(SIZES)}", at=timezone.now(), body=body,
        set_name=set_name, **measures, **ends,
    )  # fmt: skip


def open_replay() -> int:
    version = ModelVersion.objects.get(model__name="ocr", version="1")
    letters = Application.objects.get(name="letters")
    made = TrafficReplay.objects.create(
        application=letters, version=version, last_row=1, total=1, by="grace"
    )
    return made.pk


def strangers_key() -> int:
    """A key of a stranger's, that predicts."""
    made, _ = services.create_api_key(name="theirs", scopes=["predict"], by=BY)
    return made.pk


def strangers_alert() -> int:
    stranger, now = Application.objects.get(name="letters"), timezone.now()
    return Alert.objects.create(application=stranger, rule="disk", since=now, updated_at=now).pk


def key(*scopes: str, applications: tuple[Application, ...] = ()) -> str:
    _, text = services.create_api_key(name="k", scopes=scopes, by=BY, applications=applications)
    return text


def model(name: str, *, live: str | None = "1") -> Model:
    row = services.create_model(name=name, input_type="doubles", by=services.SYSTEM)
    for version in ("1", "2", "3"):
        made = services.create_version(
            model=row, version=version, runtime="sklearn", artifact=io.BytesIO(b"x"), by=BY
        )
        if live is not None and version <= live:
            release = services.deploy(version=made, by=BY)
            services.begin_release(release=release)
            services.complete_release(release=release)
    return row


def application(name: str, *models: str) -> Application:
    return services.create_application(
        name=name,
        input_type="doubles",
        slo_ms=50.0,
        routes=[RouteRequest(model=model) for model in models],
        by=services.SYSTEM,
    )


@pytest.fixture
def registry(
    db: None,
    server_redis: redis.Redis,
    settings: Settings,
    tmp_path_factory: pytest.TempPathFactory,
) -> redis.Redis:
    """Two applications, their models and all that came with them."""
    settings.CLIPPER_ARTIFACTS = tmp_path_factory.getbasetemp() / "artifacts-of-all"
    settings.CLIPPER_REMOTE_HOSTS = "10.1.1.1"
    REGISTRY.have("all", make_registry)
    return server_redis


def make_registry() -> None:
    for name in ("svm", "shared", "ocr"):
        model(name, live="2")
    model("spare", live=None)
    application("digits", "svm", "shared")
    application("letters", "ocr", "shared")


@pytest.fixture
def owner(registry: redis.Redis) -> Caller:
    """Holds a key that manages `digits`."""
    return Caller(key=key("manage", applications=(Application.objects.get(name="digits"),)))


def staff(*, perms: str | None = None, superuser: bool = False) -> Caller:
    user = User.objects.create_user("grace", is_staff=True, is_superuser=superuser)
    if perms:
        user.user_permissions.set(Permission.objects.filter(codename__startswith=perms))
    return Caller(user=user)


@EVERY
def test_nobody_reaches_anything(registry: redis.Redis, endpoint: Endpoint) -> None:
    assert Caller().ask(endpoint).status_code == 401


@EVERY
def test_a_key_that_predicts_manages_nothing(registry: redis.Redis, endpoint: Endpoint) -> None:
    assert Caller(key=key("predict", "feedback")).ask(endpoint).status_code == 403


@EVERY
def test_staff_without_permissions_reach_nothing(registry: redis.Redis, endpoint: Endpoint) -> None:
    answer = staff().ask(endpoint)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert answer.json()["details"]["permission"]


@EVERY
@pytest.mark.parametrize("who", ["viewer", "reader"])
def test_staff_who_may_view_and_keys_that_read_only_read(
    registry: redis.Redis, endpoint: Endpoint, who: str
) -> None:
    what_if = who == "viewer" and "/what-if" in endpoint.path
    reads = endpoint.method == "GET" or what_if or endpoint.path in ONLY_READ
    caller = Caller(key=key("read")) if who == "reader" else staff(perms="view_")
    status = caller.ask(endpoint).status_code
    assert status == (403 if not reads else 404 if endpoint.path.endswith("/log") else 200)


@EVERY
@pytest.mark.parametrize("who", ["manager", "superuser"])
def test_a_manager_and_a_superuser_reach_everything(
    registry: redis.Redis, endpoint: Endpoint, who: str
) -> None:
    caller = Caller(key=key("manage")) if who == "manager" else staff(superuser=True)
    answer = caller.ask(endpoint)
    if endpoint.path.endswith("/log") or "nowhere" in endpoint.path:
        assert answer.status_code == 404  # no replica has written one, no host keeps it
    else:
        assert 200 <= answer.status_code < 300, answer.content


@EVERY
def test_a_bound_key_neither_sees_nor_changes_what_is_a_strangers(
    owner: Caller, registry: redis.Redis, endpoint: Endpoint
) -> None:
    record = ReplicaRecord(
        id="r1", model="ocr", version="1", version_id=1, generation=0, state=ReplicaState.READY
    )
    own_directory().announce(record)
    lists = endpoint.path in LISTS
    answer = owner.ask(endpoint)
    if (lists and endpoint.method == "GET") or endpoint.path in (*ONLY_READ, *OWN):
        assert answer.status_code == 200
        assert not {"letters", "ocr"} & set(answer.content.decode().split('"'))
    else:
        assert answer.status_code in (403, 404)
        known = Model.objects.filter(name__in=("ocr", "spare")).count()
        assert (known, Application.objects.filter(name="letters").count()) == (2, 1)


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "models/shared", None, 200),
        ("GET", "models/shared/releases/", None, 200),
        ("GET", "models/shared/versions/1", None, 200),
        ("PATCH", "models/shared", {"description": "mine"}, 403),
        ("POST", "models/shared/versions/", UPLOAD, 403),
        ("POST", "models/shared/versions/", REMOTE, 403),
        ("PATCH", "models/shared/versions/1", {"memory_limit_mb": 128}, 403),
        ("PATCH", "models/shared/versions/1", {"secret": "mine"}, 403),
        ("DELETE", "models/shared/versions/3", None, 403),
        ("POST", "models/shared/versions/3/deploy", {}, 403),
        ("POST", "models/shared/rollback", {}, 403),
        ("POST", "models/shared/scale", {"replicas": 0}, 403),
        ("PATCH", "applications/digits", {"priority": "high"}, 403),
        ("PATCH", "applications/digits", {"priority": "low"}, 200),
        ("PATCH", "applications/digits/slo", {"latency_ms": 1}, 403),
        ("PATCH", "applications/digits/slo", {"latency_ms": 500}, 200),
        ("PUT", "applications/digits/routes", [{"model": "ocr"}], 404),
        ("PUT", "applications/digits/routes", [{"model": "spare"}], 404),
        ("PUT", "applications/digits/routes", [{"model": "shared", "version": "3"}], 403),
        ("PUT", "applications/digits/routes", [{"model": "shared", "version": "2"}], 200),
        ("PUT", "applications/digits/routes", [{"model": "svm", "version": "3"}], 200),
        ("PATCH", "models/svm", {"description": "mine"}, 200),
        ("POST", "models/svm/versions/", UPLOAD, 201),
        ("POST", "models/svm/versions/", REMOTE, 201),
        ("POST", "models/svm/versions/", REMOTE | {"url": "http://10.2.1.1/"}, 400),
        ("PATCH", "models/svm/versions/1", {"memory_limit_mb": 128}, 200),
        ("POST", "models/svm/versions/3/deploy", {}, 202),
        ("POST", "models/svm/rollback", {}, 202),
        ("POST", "models/svm/scale", {"replicas": 2}, 200),
        ("DELETE", "models/svm/versions/3", None, 204),
    ],
)
def test_a_bound_key_changes_only_what_nobody_else_uses(
    owner: Caller, method: str, path: str, body: Any, status: int
) -> None:
    answer = owner.ask(Endpoint(method, path, body))
    assert answer.status_code == status, answer.content


def test_no_view_without_a_declared_permission_answers(db: None) -> None:
    class Forgotten(ManagementView):
        def get(self, request: Request) -> Response:
            return Response("a secret")

    request = APIRequestFactory().get("/")
    force_authenticate(request, user=User.objects.create_superuser("ada"))
    answer = Forgotten.as_view()(request)
    assert (answer.status_code, answer.data["code"]) == (403, "forbidden")


def test_every_method_of_every_view_declares_its_permissions_and_is_in_the_table() -> None:
    asked = {(endpoint.method, _view_at(endpoint.path)) for endpoint in ENDPOINTS}
    declared = set()
    for view in _management_views():
        for method in view.http_method_names:
            if method != "head" and hasattr(view, method):
                assert view.permissions.get(method.upper()), f"{view.__name__} {method}"
                declared.add((method.upper(), view))
    assert asked == declared


def test_every_page_is_closed_to_strangers_and_to_staff_without_permissions(
    registry: redis.Redis,
) -> None:
    pages = [
        "/admin/home/",
        "/admin/system/",
        *(page.url("letters") for page in APPLICATION_PAGES),
        "/admin/applications/letters/start/",
        "/admin/applications/letters/try/",
        "/admin/applications/letters/review/export/",
        "/admin/applications/new/",
        "/admin/applications/letters/contexts/reset/",
        "/admin/models/ocr/replays/",
    ]
    plain = staff()
    for page in pages:
        assert Client().get(page).status_code in (302, 401), page
        seen = plain.client.get(page)
        assert seen.status_code == 403, page
        assert b"letters" not in seen.content, page


def test_home_shows_what_a_person_may_view(registry: redis.Redis) -> None:
    assert b"letters" not in staff().client.get("/admin/").content
    seen = staff_viewing().client.get("/admin/home/?idle=1").content.decode()
    for name in ("digits", "letters"):
        assert f'data-testid="application-{name}"' in seen
    assert "Created application" not in seen  # that is the timeline's


def staff_viewing() -> Caller:
    user = User.objects.create_user("ida", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename="view_application"))
    return Caller(user=user)


def _management_views() -> Iterator[type[ManagementView]]:
    """Every view under /api/; one that is neither ours nor known to be open fails the test."""
    for pattern in _patterns(get_resolver().url_patterns):
        view = getattr(pattern.callback, "cls", None)
        name = getattr(view or pattern.callback, "__name__", "")
        if view is JoinView:  # of no right: `registry/security/test_join_tokens` asks it
            continue
        if view is not None and issubclass(view, ManagementView):
            yield view
        elif _is_api(pattern):
            assert name in OPEN, f"{pattern} is open to anybody"


def _patterns(given: list[URLPattern | URLResolver], *, api: bool = False) -> Iterator[URLPattern]:
    for pattern in given:
        inside = api or str(pattern.pattern).lstrip("^").startswith("api/")
        if isinstance(pattern, URLResolver):
            yield from _patterns(pattern.url_patterns, api=inside)
        else:
            pattern.is_api = inside  # type: ignore[attr-defined]  # noted for the test
            yield pattern


def _is_api(pattern: URLPattern) -> bool:
    return bool(pattern.is_api)  # type: ignore[attr-defined]  # noted above


def _view_at(path: str) -> type[ManagementView]:
    url = "/api/v1/" + path.partition("?")[0].format(
        release=1, key=1, alert=1, channel=1, rollout=1, plan=1, replay=1
    )
    return get_resolver().resolve(url).func.cls  # type: ignore[attr-defined]  # DRF's
