"""Whatever is changed, over REST, in the console or by a command, leaves an entry that stays."""

import json
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command, get_commands
from django.test import Client, RequestFactory
from django.utils import timezone

from core.errors import BadRequest
from registry import services
from registry.models import ApiKey, Application, AuditEntry, Model, ModelVersion
from serving.alerts.channels import create_channel
from tests.registry.forms import application_fields, version_fields
from tests.site.security.endpoints import ENDPOINTS, ONLY_READ, OWN, Endpoint
from tests.site.security.test_rights import BY, Caller, key, path_of, registry, staff

__all__ = ["registry"]

# What-if and judgements change nothing, and what came in pieces is nothing yet.
NOTHING_WRITTEN = (
    "applications/letters/what-if",
    *ONLY_READ,
    *OWN,
)
WRITES = [e for e in ENDPOINTS if e.method != "GET" and e.path not in NOTHING_WRITTEN]
NEW_APPLICATION = application_fields(
    name="fresh", input_type="doubles", policy="exp3", policy_params=""
)
INLINES = {
    f"{prefix}-{name}": "0"
    for prefix in ("versions", "releases")
    for name in ("TOTAL_FORMS", "INITIAL_FORMS")
}
SETTINGS = version_fields()
SURE = {"post": "yes"}


@pytest.fixture
def console(registry: redis.Redis) -> Client:
    return staff(superuser=True).client


def changed(kind: str, name: str) -> AuditEntry:
    return AuditEntry.objects.filter(kind=kind, name=name).latest("id")


# --- what is written stays ---------------------------------------------------------------------


def test_a_change_that_fails_leaves_no_entry(registry: redis.Redis) -> None:
    before = AuditEntry.objects.count()
    application = Application.objects.get(name="digits")
    with pytest.raises(BadRequest):
        services.update_application(application=application, changes={"policy": "x"}, by=BY)
    assert AuditEntry.objects.count() == before


def test_it_tells_old_and_new_and_why(registry: redis.Redis) -> None:
    application = Application.objects.get(name="digits")
    services.update_application(application=application, changes={"priority": "low"}, by=BY)
    assert changed("application", "digits").changes == {"priority": ["normal", "low"]}
    services.set_objective(application=application, latency_ms=80.0, by=BY)
    assert changed("application", "digits").changes == {"latency_ms": [50.0, 80.0]}
    services.replace_routes(application=application, routes=[], by=BY)
    assert changed("application", "digits").changes == {
        "routes": [["svm (arm, 1)", "shared (arm, 1)"], []]
    }
    version = ModelVersion.objects.get(model__name="svm", version="3")
    services.deploy(version=version, by=BY, reason="retrained")
    entry = changed("model", "svm")
    assert (entry.action, entry.reason) == ("deploy", "retrained")
    assert entry.changes == {"asked_version": ["svm:2", "svm:3"]}


def test_no_secret_is_in_it(console: Client) -> None:
    _, text = services.create_api_key(name="k", scopes=["predict"], by=BY)
    person = User.objects.create_user("ada", password="a first long password")
    console.post(f"/admin/people/{person.pk}/", {"password": "1"})
    assert changed("user", "ada").changes == {"password": ["•••", "•••"]}
    said = json.dumps(list(AuditEntry.objects.values_list("changes", flat=True)))
    person.refresh_from_db()
    for secret in (text, ApiKey.digest_of(text), person.password):
        assert secret not in said


# --- nothing is left out -----------------------------------------------------------------------


@pytest.mark.parametrize("endpoint", WRITES, ids=lambda endpoint: endpoint.name)
def test_every_write_over_rest_leaves_an_entry(registry: redis.Redis, endpoint: Endpoint) -> None:
    text = key("manage")
    endpoint = endpoint._replace(path=path_of(endpoint))
    last = AuditEntry.objects.latest("id").pk
    answer = Caller(key=text).ask(endpoint)
    assert 200 <= answer.status_code < 300, answer.content
    entries = AuditEntry.objects.filter(pk__gt=last, cause_id=None)
    assert {(e.channel, e.by, e.address, e.key_prefix) for e in entries} == {
        ("rest", "API key k", "127.0.0.1", text[:12])
    }


# What the console can change, by name: the page, and the form that is sent to it.
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    "application add": ("applications/new/", {"name": "fresh", "model": "{ocr}", "slo_ms": "50"}),
    "application change": (
        "registry/application/{digits}/change/",
        {
            **NEW_APPLICATION,
            "description": "changed",
            "confirmed": "1",
            "reason": "a trial",
            "slo-INITIAL_FORMS": "1",
            "slo-0-id": "{slo}",
            "slo-0-application": "{digits}",
        },
    ),
    "application delete": ("registry/application/{digits}/delete/", SURE),
    "model add": ("registry/model/add/", {"name": "fresh", "input_type": "doubles"}),
    "model change": ("registry/model/{ocr}/change/", {"description": "changed", **INLINES}),
    "model delete": ("registry/model/{spare}/delete/", SURE),
    "model roll_back": ("registry/model/{ocr}/rollback/", {"to": "{earlier}", "reason": "worse"}),
    "model scale": ("registry/model/{ocr}/scale/", {"replicas": 2}),
    "modelversion add": (
        "registry/modelversion/add/",
        {"model": "{ocr}", "version": "9", "runtime": "sklearn", "device": "cpu", **SETTINGS},
    ),
    "modelversion change": (
        "registry/modelversion/{unused}/change/",
        {**SETTINGS, "notes": "changed"},
    ),
    "modelversion delete": ("registry/modelversion/{unused}/delete/", SURE),
    "modelversion deploy": ("registry/modelversion/{unused}/deploy/", {"reason": "fresh"}),
    "apikey add": ("registry/apikey/add/", {"name": "fresh", "can_predict": "on"}),
    "apikey change": ("registry/apikey/{key}/change/", {"name": "renamed"}),
    "apikey revoke": ("registry/apikey/{key}/revoke/", {}),
    "user add": ("people/", {"name": "fresh", "role": "viewer"}),
    "user change": ("people/{person}/", {"role": "operator", "applications": "{digits}"}),
    "user delete": ("people/{person}/", {"remove": "1"}),
    "user password": ("people/{person}/", {"password": "1"}),
    "channel add": (
        "alerts/channel/add/",
        {"name": "fresh", "kind": "chat", "goes_to": "https://8.8.8.8/"},
    ),
    "channel change": (
        "alerts/channel/{channel}/change/",
        {
            **{"name": "renamed", "goes_to": "https://8.8.4.4/", "enabled": "on"},
            **{"messages-TOTAL_FORMS": "0", "messages-INITIAL_FORMS": "0"},
        },
    ),
    "channel delete": ("alerts/channel/{channel}/delete/", SURE),
    "channel send_test": ("alerts/channel/{channel}/test/", {}),
    "contexts reset": ("applications/digits/contexts/reset/?all=", {}),
}


def numbers() -> dict[str, int]:
    """The primary keys that the forms name."""
    digits = Application.objects.get(name="digits")
    models = {model.name: model.pk for model in Model.objects.all()}
    of_ocr = {v.version: v.pk for v in ModelVersion.objects.filter(model__name="ocr")}
    return {
        **models,
        "digits": digits.pk,
        "slo": digits.slo.pk,
        "earlier": of_ocr["1"],
        "unused": of_ocr["3"],
        "key": services.create_api_key(name="k", scopes=["predict"], by=BY)[0].pk,
        "person": User.objects.create_user("ida", password="x").pk,
        "channel": create_channel(
            name="ops", kind="chat", target="https://8.8.8.8/", by=services.SYSTEM
        )[0].pk,
    }


@pytest.mark.parametrize("name", FORMS)
def test_every_change_in_the_console_leaves_an_entry(console: Client, name: str) -> None:
    path, given = FORMS[name]
    page = "/".join(path.split("/")[:2])
    known = numbers()
    form: dict[str, Any] = {field: str(value).format(**known) for field, value in given.items()}
    if name == "modelversion add":
        form["artifact"] = SimpleUploadedFile("a.skops", b"PK schema.json")
    if page == "registry/application":
        form["policy_params"] = "{}"
    last = AuditEntry.objects.latest("id").pk
    answer = console.post(f"/admin/{path.format(**known)}", form)
    assert answer.status_code == 302, answer.content.decode()
    entries = AuditEntry.objects.filter(pk__gt=last, cause_id=None)
    assert {(entry.channel, entry.by, entry.address) for entry in entries} == {
        ("console", "grace", "127.0.0.1")
    }


def test_what_a_list_deletes_leaves_entries(console: Client) -> None:
    rows: dict[str, Any] = {
        "registry/application": Application.objects.filter(name="digits"),
        "registry/model": Model.objects.filter(name="spare"),
    }
    for page, chosen in rows.items():
        last = AuditEntry.objects.latest("id").pk
        form = {"action": "delete_selected", "post": "yes", "_selected_action": chosen.get().pk}
        assert console.post(f"/admin/{page}/", form).status_code == 302
        assert AuditEntry.objects.filter(pk__gt=last, cause_id=None), page


READING = {"upload_version"}


def test_every_page_that_changes_something_is_in_the_table(admin_user: User) -> None:
    request = RequestFactory().get("/")
    request.user = admin_user
    people = {"user add", "user change", "user delete", "user password"}
    expected = {"contexts reset", *people}
    for model in filter(admin.site.is_registered, apps.get_models()):
        page = admin.site.get_model_admin(model)
        for may in ("add", "change", "delete"):
            if getattr(page, f"has_{may}_permission")(request):
                expected.add(f"{model._meta.model_name} {may}")
        buttons = {*page.actions_row, *page.actions_detail}  # type: ignore[attr-defined]  # the theme's
        expected |= {f"{model._meta.model_name} {button}" for button in buttons - READING}
    assert {*FORMS} == expected


COMMANDS: dict[str, tuple[str, ...]] = {
    "deploy": ("ocr", "3", "--reason", "better"),
    "rollback": ("ocr",),
    "scale": ("ocr", "2"),
    "create_api_key": ("fresh",),
    "revoke_api_key": ("old",),
    "rebuild_selection_state": ("--application", "digits"),
}


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_that_changes_something_leaves_an_entry(
    registry: redis.Redis, name: str
) -> None:
    services.create_api_key(name="old", scopes=["predict"], by=BY)
    last = AuditEntry.objects.latest("id").pk
    call_command(name, *COMMANDS[name])
    entry = AuditEntry.objects.filter(pk__gt=last, cause_id=None).latest("id")
    assert (entry.channel, entry.by) == ("command", f"command {name}")


def test_every_command_is_known_to_change_something_or_not() -> None:
    ours = {name for name, app in get_commands().items() if app in ("registry", "selection")}
    assert ours == {*COMMANDS, "seed_demo", "status"}


def test_a_release_that_went_live_by_itself_leaves_an_entry(registry: redis.Redis) -> None:
    version = ModelVersion.objects.get(model__name="ocr", version="3")
    release = services.deploy(version=version, by=BY)
    services.begin_release(release=release)
    services.complete_release(release=release)
    entry = changed("model", "ocr")
    assert (entry.channel, entry.by, entry.action) == ("system", "Clipper", "go_live")
    assert entry.changes == {"live_version": ["ocr:2", "ocr:3"]}
    asked = AuditEntry.objects.get(pk=entry.cause_id or 0)
    assert (asked.by, asked.action) == ("a test", "deploy")


def test_what_clipper_does_by_itself_leaves_entries(registry: redis.Redis) -> None:
    version = ModelVersion.objects.get(model__name="ocr", version="3")
    release = services.deploy(version=version, by=BY)
    services.fail_release(release=release, error="no such file")
    assert (changed("model", "ocr").action, changed("model", "ocr").reason) == (
        "fail",
        "no such file",
    )
    services.configure_version(version=version, by=BY, min_replicas=1, max_replicas=3)
    services.autoscale(version_id=version.pk, replicas=2, reason="a queue of 18 ms")
    scaled = AuditEntry.objects.filter(by="Clipper", name="ocr:3").get()
    assert (scaled.changes, scaled.reason) == ({"replicas": [1, 2]}, "a queue of 18 ms")


# --- reading it --------------------------------------------------------------------------------


def test_it_is_read_over_rest_by_object_person_and_time(registry: redis.Redis) -> None:
    caller = Caller(key=key("manage"))
    caller.ask(Endpoint("PATCH", "applications/letters", {"priority": "low"}))
    asked = "audit/?kind=application&name=letters&action=change&by=API%20key%20k"
    (entry,) = caller.ask(Endpoint("GET", asked)).json()
    assert (entry["changes"], entry["revision"]) == ({"priority": ["normal", "low"]}, 1)
    later = (timezone.now() + timedelta(hours=1)).isoformat().replace("+", "%2B")
    assert caller.ask(Endpoint("GET", f"audit/?since={later}")).json() == []
    assert caller.ask(Endpoint("GET", "audit/?nonsense=1")).status_code == 400
    about = {"application=letters": "letters", "model=ocr": "ocr", "kind=access": "k"}
    for asked, name in about.items():
        found = caller.ask(Endpoint("GET", f"timeline/?{asked}")).json()
        assert found, asked
        assert all(name in entry["name"] for entry in found) or "application" in asked
    assert caller.ask(Endpoint("GET", "timeline/?application=nosuch")).status_code == 404
    assert caller.ask(Endpoint("GET", "audit/?since=x")).status_code == 400


def test_the_console_shows_it_to_whom_may_see_it(console: Client) -> None:
    assert "letters" in console.get("/admin/timeline/").content.decode()
    assert console.get("/admin/registry/auditentry/").headers["Location"] == "/admin/timeline/"
    entry = AuditEntry.objects.latest("id")
    assert console.get(f"/admin/timeline/{entry.pk}/").status_code == 200
    plain = Client()
    plain.force_login(User.objects.create_user("ida", is_staff=True))
    assert plain.get("/admin/timeline/").status_code == 403
    assert plain.get(f"/admin/timeline/{entry.pk}/").status_code == 403
