"""A version that takes another number of numbers than those it replaces or stands beside."""

import json
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from registry import services
from registry.models import Application, AuditEntry, Model, ModelVersion, Release
from registry.services import RouteRequest
from tests.registry.conftest import BY, AddVersion, Api, link, passed

pytestmark = pytest.mark.django_db

LIVE_DIFFERS = "expected 64 numbers, as svm:1 takes, which is live; svm:2 takes 32 numbers."
BESIDE_DIFFERS = "expected 32 numbers, as tree:1 takes, an arm beside it; svm:1 takes 64 numbers."


def found(takes: int | None) -> dict[str, Any]:
    """Return the findings of a check of a version that takes so many numbers."""
    if takes is None:
        return {}
    signature = {"input_type": "doubles", "inputs": [{"shape": [takes]}]}
    return {"n_features": takes, "signature": json.dumps(signature)}


def go_live(version: ModelVersion, *, takes: int | None, **how: Any) -> Release:
    """Deploy a version whose check finds that it takes so many numbers."""
    release = services.deploy(version=version, by=BY, **how)
    passed(version, **found(takes))
    services.begin_release(release=release)
    services.complete_release(release=release)
    return release


def fault_of(release: Release) -> str:
    """Return why it failed, without what to do about it."""
    return release.error.partition(" Deploy it with ")[0]


def live(model: Model) -> str | None:
    model.refresh_from_db()
    return model.live_version.version if model.live_version else None


@pytest.fixture
def tree(add_version: AddVersion) -> ModelVersion:
    """Version 1 of another model, which is live and takes 32 numbers."""
    model = services.create_model(name="tree", input_type="doubles", by=services.SYSTEM)
    version = add_version("1", model=model)
    go_live(version, takes=32)
    return version


def test_another_signature_than_that_of_the_live_version_fails_the_release(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    release = go_live(v2, takes=32)
    v2.refresh_from_db()
    assert (release.state, fault_of(release), live(svm)) == ("failed", LIVE_DIFFERS, "1")
    # What was found out holds, and nothing is wrong with the version itself.
    assert (v2.n_features, v2.load_error) == (32, "")
    assert v2.validated_at is not None
    assert release.ended_at is not None


@pytest.mark.parametrize(("before", "after"), [(None, 32), (64, None), (64, 64)])
def test_what_is_not_known_or_the_same_is_no_difference(
    svm: Model, v1: ModelVersion, v2: ModelVersion, before: int | None, after: int | None
) -> None:
    go_live(v1, takes=before)
    assert (go_live(v2, takes=after).state, live(svm)) == ("live", "2")


def test_a_change_of_signature_that_is_meant_goes_live_and_is_recorded(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    go_live(v2, takes=32, allow_signature_change=True)
    assert live(svm) == "2"
    entry = AuditEntry.objects.filter(action="deploy").latest("id")
    assert entry.changes == {
        "asked_version": ["svm:1", "svm:2"],
        "allow_signature_change": [False, True],
    }


def test_the_other_arms_of_applications_that_follow_the_model_are_compared(
    digits: Application, v1: ModelVersion, tree: ModelVersion
) -> None:
    link(digits, model=tree.model, by=BY)
    release = go_live(v1, takes=64)
    assert (release.state, fault_of(release)) == ("failed", BESIDE_DIFFERS)


def test_an_arm_that_is_pinned_is_compared_by_its_pin(
    digits: Application, v1: ModelVersion, tree: ModelVersion, add_version: AddVersion
) -> None:
    link(digits, model=tree.model, version=tree, by=BY)
    go_live(add_version("2", model=tree.model), takes=64, allow_signature_change=True)
    release = go_live(v1, takes=64)
    assert (release.state, fault_of(release)) == ("failed", BESIDE_DIFFERS)


def test_applications_that_pin_a_version_of_the_model_are_not_touched(
    digits: Application, v1: ModelVersion, v2: ModelVersion, tree: ModelVersion
) -> None:
    routes = [RouteRequest(model="svm", version="2"), RouteRequest(model="tree")]
    services.replace_routes(application=digits, routes=routes, by=BY)
    assert go_live(v1, takes=64).state == "live"


def test_an_arm_that_comes_while_the_replicas_start_is_compared(
    digits: Application, svm: Model, v1: ModelVersion, tree: ModelVersion
) -> None:
    release = services.deploy(version=v1, by=BY)
    passed(v1, **found(64))
    services.begin_release(release=release)
    assert release.state == "starting"
    link(digits, model=tree.model, by=BY)
    services.complete_release(release=release)
    assert (release.state, live(svm)) == ("failed", None)


def test_a_rollback_to_what_was_live_is_never_refused(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    go_live(v2, takes=32, allow_signature_change=True)
    assert services.roll_back(model=svm, by=BY).state == "live"  # warm: at once
    ModelVersion.objects.update(warm_until=None)
    release = services.roll_back(model=svm, to=v2, by=BY)
    services.begin_release(release=release)
    assert release.state == "starting"


def test_a_rollback_to_what_was_never_live_is_compared_unless_told_otherwise(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    release = services.roll_back(model=svm, to=v2, by=BY)
    passed(v2, **found(32))
    services.begin_release(release=release)
    assert (release.state, fault_of(release)) == ("failed", LIVE_DIFFERS)
    release = services.roll_back(model=svm, to=v2, by=BY, allow_signature_change=True)
    services.begin_release(release=release)
    assert release.state == "starting"


def test_a_deploy_to_a_warm_version_of_another_signature_fails_at_once(
    svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    go_live(v2, takes=32, allow_signature_change=True)
    v1.refresh_from_db()
    assert v1.is_warm
    release = services.deploy(version=v1, by=BY)
    assert (release.state, live(svm)) == ("failed", "2")
    release = services.deploy(version=v1, by=BY, allow_signature_change=True)
    assert (release.state, live(svm)) == ("live", "1")


def test_routes_that_differ_already_may_be_changed_otherwise(
    digits: Application, v1: ModelVersion, tree: ModelVersion
) -> None:
    go_live(v1, takes=64)
    link(digits, model=tree.model, allow_signature_change=True, by=BY)
    routes = [RouteRequest(model="svm", weight=2.0), RouteRequest(model="tree")]
    services.replace_routes(application=digits, routes=routes, by=BY)
    assert digits.routes.get(model__name="svm").weight == 2.0


def test_routes_over_rest_are_refused_unless_told_otherwise(
    manager: Api, digits: Application, v1: ModelVersion, tree: ModelVersion
) -> None:
    go_live(v1, takes=64)
    url, body = "applications/digits/routes", [{"model": "svm"}, {"model": "tree"}]
    answer = manager("put", url, body)
    assert answer.status_code == 409
    details = {"application": "digits", "version": "tree:1", "other": "svm:1"}
    assert answer.json()["details"] == details
    assert [route["model"] for route in manager("get", url).json()] == ["svm"]
    assert manager("put", f"{url}?allow_signature_change=yes", body).status_code == 400
    assert manager("put", f"{url}?allow_signature_change=true", body).status_code == 200
    assert [route["model"] for route in manager("get", url).json()] == ["svm", "tree"]


def test_an_application_of_arms_that_differ_is_created_only_where_that_is_meant(
    manager: Api, v1: ModelVersion, tree: ModelVersion
) -> None:
    go_live(v1, takes=64)
    body = {
        "name": "both",
        "input_type": "doubles",
        "slo_ms": 50,
        "routes": [{"model": "svm"}, {"model": "tree"}],
    }
    answer = manager("post", "applications/", body)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    assert not Application.objects.exists()
    body["allow_signature_change"] = True
    assert manager("post", "applications/", body).status_code == 201


# --- fronts ------------------------------------------------------------------------------------


def test_over_rest_a_release_says_what_it_was_allowed(
    manager: Api, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    assert manager("get", "models/svm/versions/1").json()["n_features"] == 64
    assert manager("get", "models/svm/versions/2").json()["n_features"] is None
    url, allow = "models/svm/versions/2/deploy", {"allow_signature_change": True}
    assert manager("post", url, {"allow_signature_change": 1}).status_code == 400
    answer = manager("post", url, allow)
    assert (answer.status_code, answer.json()["allow_signature_change"]) == (202, True)
    passed(v2, **found(32))
    services.begin_release(release=Release.objects.latest("id"))
    assert Release.objects.latest("id").state == "starting"


@pytest.fixture
def owner(client: Client) -> Client:
    client.force_login(User.objects.create_superuser("owner"))
    return client


def test_the_console_allows_it_with_a_box(
    owner: Client, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1, takes=64)
    page = f"/admin/registry/modelversion/{v2.pk}/deploy/"
    assert 'name="allow_signature_change"' in owner.get(page).content.decode()
    owner.post(page, {"reason": "fewer pixels", "allow_signature_change": "on"})
    release = Release.objects.latest("id")
    assert release.allow_signature_change
    shown = owner.get(f"/admin/registry/release/{release.pk}/change/").content.decode()
    assert 'data-testid="release-signature"' in shown
