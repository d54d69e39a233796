"""Two who change the same thing find out about each other, over REST and in the console."""

from typing import Any

import pytest
from django.test import Client

from registry.models import Application, Model, ModelVersion
from tests.registry.conftest import Api, go_live
from tests.registry.forms import application_fields

pytestmark = pytest.mark.django_db

PATHS = {
    "applications/digits": ("patch", {"description": "changed"}),
    "applications/digits/slo": ("patch", {"latency_ms": 70}),
    "applications/digits/routes": ("put", []),
    "models/svm": ("patch", {"description": "changed"}),
    "models/svm/versions/1": ("patch", {"notes": "changed"}),
}


@pytest.mark.parametrize("path", PATHS)
def test_a_change_of_what_one_has_seen_goes_through_once(
    manager: Api, digits: Application, path: str
) -> None:
    method, body = PATHS[path]
    seen = manager("get", path)["ETag"]
    changed = manager(method, path, body, headers={"If-Match": seen})
    assert changed.status_code == 200
    assert changed["ETag"] == manager("get", path)["ETag"] != seen
    state = manager("get", path).json()
    refused = manager(method, path, body, headers={"If-Match": seen})
    assert (refused.status_code, refused.json()["code"]) == (412, "precondition_failed")
    assert "API key a key" in refused.json()["error"]
    assert manager("get", path).json() == state


@pytest.mark.parametrize("path", ["applications/digits", "models/svm", "models/svm/versions/1"])
def test_what_was_changed_meanwhile_isnt_deleted(
    manager: Api, digits: Application, path: str
) -> None:
    assert manager("delete", path, headers={"If-Match": '"99"'}).status_code == 412


@pytest.mark.parametrize("tag", ["7", 'W/"0"', '"x"', '"1", "2"', '"²"'])
def test_an_etag_that_there_cannot_be_is_refused(
    manager: Api, digits: Application, tag: str
) -> None:
    headers = {"If-Match": tag}
    refused = manager("patch", "applications/digits", {"cache": False}, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (400, "malformed")


def test_any_will_do_where_none_or_a_star_is_given(manager: Api, digits: Application) -> None:
    for headers in ({}, {"If-Match": "*"}):
        changed = manager("patch", "applications/digits", {"public": True}, headers=headers)
        assert changed.status_code == 200


def test_a_deploy_changes_the_models_tag(manager: Api, v1: ModelVersion) -> None:
    seen = manager("get", "models/svm")["ETag"]
    go_live(v1)
    assert manager("get", "models/svm")["ETag"] != seen


def form_of(application: Application, **fields: Any) -> dict[str, Any]:
    shown = {
        "revision": application.revision,
        "confirmed": "1",
        "reason": "a trial",
        "description": "from the console",
        "policy": application.policy,
        "default_output": "-1",
        "slo-INITIAL_FORMS": "1",
        "slo-0-id": application.slo.pk,
        "slo-0-application": application.pk,
    }
    return application_fields(**{**shown, **fields})


def test_an_old_form_of_the_console_doesnt_overwrite_what_came_over_rest(
    admin_client: Client, manager: Api, digits: Application
) -> None:
    page = f"/admin/applications/{digits}/settings/"
    digits.refresh_from_db()
    opened = admin_client.get(page).content.decode()
    assert f'name="revision" value="{digits.revision}"' in opened
    manager("patch", "applications/digits", {"policy": "exp3"})

    refused = admin_client.post(page, form_of(digits))

    assert refused.status_code == 200
    told = refused.content.decode()
    assert "policy: exp4 → exp3 by API key a key" in told
    assert Application.objects.get().policy == "exp3"

    form = form_of(Application.objects.get(), policy="exp4")
    assert admin_client.post(page, form).status_code == 302
    assert Application.objects.get().description == "from the console"


def test_a_deleted_version_leaves_its_releases(
    manager: Api, svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    first, second = go_live(v1), go_live(v2)
    assert manager("delete", "models/svm/versions/1").status_code == 204
    told = manager("get", "models/svm/releases/").json()
    assert [(release["id"], release["version"], release["by"]) for release in told] == [
        (second.pk, "2", "a test"),
        (first.pk, "1", "a test"),
    ]
    assert told[0]["previous_version"] == "1"
