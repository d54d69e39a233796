"""Roles: every role, for all applications or for one, against every endpoint and page."""

import html
import itertools
import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import redis
from django.contrib.auth.models import Group, Permission, User
from django.db import transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from console.application_pages import APPLICATION_PAGES
from core.errors import Forbidden
from registry import services
from registry.models import ApiKey, Application, AuditEntry, Model, ModelVersion, Release
from registry.models.application import ROLES
from registry.security.grants import grant_of
from registry.services import Actor, roles
from selection.models import Feedback
from serving.alerts.channels import create_channel
from serving.alerts.models import Alert, Channel
from tests.site.security.endpoints import DIGEST, ENDPOINTS, ONLY_READ, Endpoint
from tests.site.security.test_rights import BY, LISTS, Caller, registry

__all__ = ["registry"]

# The least role that may, by what an endpoint does; all others that write need a deployer.
OPERATING = {
    *("models/ocr/rollback", "models/ocr/scale", "applications/letters/selection?all=true"),
    *("alerts/{alert}", "models/ocr/rollouts/{rollout}"),
}
# What no role for chosen applications reaches: it belongs to none, or to all of them.
FOR_ALL = ("keys/", "environments/", "declarations/", "alert-channels/", "rollout-plans/")
NEW = {("POST", "applications/"), ("POST", "models/"), ("PUT", "applications/letters"),
       ("PUT", "models/ocr"), ("DELETE", "models/spare")}  # fmt: skip


def person(role: str, *names: str) -> User:
    """Somebody with a role, for these applications or for all."""
    chosen = [Application.objects.get(name=name) for name in names] or None
    made = services.add_person(name=f"{role}-ada", role=role, by=BY, applications=chosen)
    return User.objects.get(pk=made.pk)


def least(endpoint: Endpoint) -> str:
    if endpoint.path.startswith("keys/"):
        return "admin"
    if endpoint.method == "GET":
        return "viewer"
    if endpoint.path.endswith("/what-if"):
        return "viewer"
    if endpoint.path.startswith(ONLY_READ):
        return "admin"  # keys may be among what it is asked about
    return "operator" if endpoint.path in OPERATING else "deployer"


def may(role: str, endpoint: Endpoint) -> bool:
    return ROLES.index(role) >= ROLES.index(least(endpoint))


@contextmanager
def undone() -> Iterator[None]:
    with transaction.atomic():
        yield
        transaction.set_rollback(True)


def own(endpoint: Endpoint) -> Endpoint:
    """The same endpoint about what belongs to `digits`."""
    said = json.dumps(endpoint.body).replace("ocr", "svm").replace('_ms": 20', '_ms": 500')
    path = endpoint.path.replace("letters", "digits").replace("ocr", "svm")
    return Endpoint(endpoint.method, path, json.loads(said))


@pytest.mark.parametrize("role", ROLES)
def test_a_role_for_all_reaches_what_it_says_and_nothing_more(
    registry: redis.Redis, role: str
) -> None:
    caller = Caller(user=person(role))
    for endpoint in ENDPOINTS:
        with undone():
            status = caller.ask(endpoint).status_code
            if status != 404 or may(role, endpoint) is False:
                assert (status != 403) == may(role, endpoint), (endpoint.name, status)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_for_chosen_applications_is_that_role_there(
    registry: redis.Redis, role: str
) -> None:
    caller = Caller(user=person(role, "digits"))
    for endpoint in ENDPOINTS:
        outside = endpoint.path.startswith(FOR_ALL) or (endpoint.method, endpoint.path) in NEW
        if "{" in endpoint.path or endpoint.path.startswith("replicas/r1"):
            continue
        with undone():
            answer = caller.ask(own(endpoint))
            expected = may(role, endpoint) and not outside
            if answer.status_code != 404:
                assert (answer.status_code != 403) == expected, (endpoint.name, answer.content)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_for_chosen_applications_neither_sees_nor_changes_others(
    registry: redis.Redis, role: str
) -> None:
    caller = Caller(user=person(role, "digits"))
    for endpoint in ENDPOINTS:
        with undone():
            before = AuditEntry.objects.count()
            answer = caller.ask(endpoint)
            said = answer.content.decode()
            if endpoint.path in LISTS and endpoint.method == "GET":
                assert not {"letters", "ocr"} & set(said.split('"')), endpoint.name
            elif DIGEST not in endpoint.path:
                assert answer.status_code in (403, 404), (endpoint.name, said)
            made = "{key}" in endpoint.path or "{channel}" in endpoint.path
            assert AuditEntry.objects.count() <= before + made


def routes(patterns: list[URLPattern | URLResolver], before: str = "") -> Iterator[str]:
    for pattern in patterns:
        route = before + str(pattern.pattern).lstrip("^")
        if isinstance(pattern, URLResolver):
            yield from routes(pattern.url_patterns, route)
        else:
            yield route


def pages() -> Iterator[str]:
    """Every URL of the console, but those that sign people in and out or are about themselves."""
    away = (
        *(f"admin/{name}" for name in ("login", "logout", "password", "jsi18n", "welcome")),
        *("admin/(?P", "admin/r/"),
    )
    for route in routes(get_resolver().url_patterns):
        if route.startswith("admin/") and not route.startswith(away):
            yield route


def key_of(table: str, app: str, model: str) -> int:
    """The key of a row about these; 1 for tables that are about neither."""
    found: dict[str, Callable[[], int]] = {
        "application": lambda: Application.objects.get(name=app).pk,
        "model": lambda: Model.objects.get(name=model).pk,
        "modelversion": lambda: ModelVersion.objects.get(model__name=model, version="1").pk,
        "release": lambda: Release.objects.filter(model__name=model).latest("id").pk,
        "auditentry": lambda: AuditEntry.objects.filter(name=app, action="change").latest("id").pk,
        "apikey": lambda: ApiKey.objects.get(name=app).pk,
        "alert": lambda: Alert.objects.get(application__name=app).pk,
        "channel": lambda: Channel.objects.get().pk,
        "user": lambda: User.objects.earliest("id").pk,
        "feedback": lambda: Feedback.objects.get(application__name=app).pk,
    }
    return found.get(table, lambda: 1)()


def urls(app: str, model: str) -> Iterator[str]:
    """Every page of the console about these."""
    for route in pages():
        table = route.split("/")[2] if route.count("/") > 2 else ""
        for part, value in {
            "<path:object_id>": key_of(table, app, model),
            "<int:release_id>": key_of("release", app, model),
            "<int:version_id>": key_of("modelversion", app, model),
            "<int:entry_id>": key_of("auditentry", app, model),
            "<int:alert_id>": key_of("alert", app, model),
            "<int:rollout_id>": key_of("rollout", app, model),
            "<int:person_id>": key_of("user", app, model),
            "<str:name>": app,
            "<str:application>": app,
            "<str:model>": model,
        }.items():
            route = route.replace(part, str(value))
        if "<slug:path>" in route:
            yield from (f"/{route.replace('<slug:path>', page.path)}" for page in APPLICATION_PAGES)
        else:
            assert not set("<(") & set(route), f"No URL is known for {route}."
            yield f"/{route}"


@pytest.fixture
def rows(registry: redis.Redis) -> None:
    """A key, a label, an alert and a change of each application, and a channel."""
    now = timezone.now()
    create_channel(name="of letters", kind="chat", target="https://8.8.8.8/", by=BY)
    for application in Application.objects.all():
        model = application.routes.earliest("id").model_id
        services.update_application(application=application, changes={"priority": "low"}, by=BY)
        Alert.objects.create(
            **{"application": application, "state": "firing", "since": now, "updated_at": now},
            **{"rule": "fast_burn", "sentence": f"It burns {application}.", "fired_at": now},
            links={"model": model, "scale": model},
        )
        services.create_api_key(
            name=application.name, scopes=["predict"], by=BY, applications=[application]
        )
        Feedback.objects.create(
            application=application,
            nonce=application.name,
            reward=1.0,
            kind="receipt",
            arms=[],
            issued_at=timezone.now(),
            received_at=timezone.now(),
        )


@pytest.mark.parametrize("role", ROLES)
def test_pages_show_and_change_nothing_of_other_applications(rows: None, role: str) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person(role, "digits"))
    seen = list(dict.fromkeys(urls("letters", "ocr")))
    assert len(seen) > 60
    for url, method in itertools.product(seen, ("get", "post")):
        form = {"post": "yes", "reason": "none"} if method == "post" else {}
        with undone():
            before = AuditEntry.objects.count()
            answer = getattr(client, method)(url, form)
            assert answer.status_code < 500, (method, url)
            if answer.status_code == 200:  # a refusal may repeat what was asked for
                said = answer.content.replace(url.encode(), b"")
                found = re.search(rb".{60}(?:[^ ]letters|\bocr\b)", said, re.DOTALL)
                assert not found, (method, url, found)
            assert AuditEntry.objects.count() == before, (method, url)


@pytest.mark.parametrize("scope", [(), ("digits",)])
def test_a_viewer_opens_pages_and_changes_nothing(rows: None, scope: tuple[str, ...]) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person("viewer", *scope))
    opened = 0
    for url in dict.fromkeys(urls("digits", "svm")):
        with undone():
            answer = client.get(url)
            assert answer.status_code < 500, url
            opened += answer.status_code == 200
            before = AuditEntry.objects.count()
            assert client.post(url, {"post": "yes", "reason": "none"}).status_code < 500, url
            assert AuditEntry.objects.count() == before, url
    assert opened > 20


LINK = re.compile(rb'(?:href|action)="(/admin/[^"#]*)')
# Pages whose queries only sort, filter or page are one page.
SAME = re.compile(r"[?&](?:o|p|all|since|until|before|by|kind|q|e|period|show|format|next)=[^&]*")


def crawled(client: Client) -> Iterator[tuple[str, str, int]]:
    """Every page that a link or a form leads to from the first one: whence, URL and status."""
    waiting = [("", "/admin/")]
    seen = {"/admin/"}
    while waiting:
        whence, url = waiting.pop()
        with undone():
            answer = client.get(url)
        yield whence, url, answer.status_code
        if answer.status_code != 200 or not answer["Content-Type"].startswith("text/html"):
            continue
        for found in LINK.findall(answer.content):
            link = html.unescape(found.decode())
            key = re.sub(r"\d+", "1", SAME.sub("", link))
            if key not in seen and "logout" not in link:
                seen.add(key)
                waiting.append((url, link))


@pytest.mark.parametrize(
    ("role", "scope"),
    [("viewer", ()), ("operator", ()), ("viewer", ("digits",)), ("admin", ("digits",))],
)
def test_no_link_or_button_that_a_person_sees_ends_in_a_refusal(
    rows: None, role: str, scope: tuple[str, ...]
) -> None:
    client = Client(raise_request_exception=False)
    client.force_login(person(role, *scope))
    followed = list(crawled(client))
    refused = [found for found in followed if found[2] not in (200, 302, 405)]
    assert not refused
    assert len(followed) > 30


def test_a_person_bound_to_no_application_any_more_has_no_rights(registry: redis.Redis) -> None:
    made = person("admin", "digits")
    services.delete_application(application=Application.objects.get(name="digits"), by=BY)
    caller = Caller(user=User.objects.get(pk=made.pk))
    assert caller.ask(Endpoint("GET", "applications/")).json() == []


def test_a_role_that_was_changed_is_the_only_one(registry: redis.Redis) -> None:
    made = person("admin")
    services.set_role(person=made, role="operator", by=BY)
    made = User.objects.get(pk=made.pk)
    assert (grant_of(made).role, made.has_perm("auth.change_user")) == ("operator", False)
    services.set_role(person=made, role="", by=BY)
    made = User.objects.get(pk=made.pk)
    assert (made.is_staff, made.get_all_permissions()) == (False, set())
    assert AuditEntry.objects.latest("id").changes["role"] == ["operator", ""]


def test_the_table_of_acts_is_what_people_of_each_role_may(db: None) -> None:
    may = {role: person(role) for role in ROLES}
    for act, allowed, _ in roles.who_may():
        found = [may[role].has_perm(roles.ACTS[act]) for role in ROLES]
        assert found == allowed, act
        assert allowed == sorted(allowed), act  # each role may what the one before may


def test_a_group_has_what_belongs_to_its_role(db: None) -> None:
    viewers = Group.objects.get(name="Clipper viewer").permissions
    before = set(viewers.all())
    viewers.set(Permission.objects.filter(codename="add_user"))
    roles.make_groups()
    assert set(viewers.all()) == before


def test_nobody_changes_their_own_role_or_a_superuser(db: None, admin_user: User) -> None:
    made = person("admin")
    for target in (made, admin_user):
        with pytest.raises(Forbidden):
            services.set_role(person=target, role="viewer", by=Actor.of_user(made))
