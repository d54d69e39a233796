"""Changes by others between a request's look-up and its own change."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from django.db import transaction
from django.utils import timezone

from core.errors import BadRequest, Conflict, NotFound
from registry import services
from registry.following.reading import application_with_arms, read_application
from registry.models import ApiKey, Application, AuditEntry, Model, ModelVersion, Route
from registry.services import RouteRequest, arms_agreeing, declare_application, declare_model
from tests.registry.conftest import BY, AddVersion, go_live

pytestmark = pytest.mark.django_db

# No row has this number.
NOBODY = 0
CHANGES: dict[str, Callable[[ModelVersion], object]] = {
    "deploy": lambda version: services.deploy(version=version, by=BY),
    "roll back": lambda version: services.roll_back(model=version.model, by=BY),
    "roll back to it": lambda version: services.roll_back(model=version.model, to=version, by=BY),
    "delete": lambda version: services.delete_version(version=version, by=BY),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_model_that_is_gone_is_said_to_be(
    v1: ModelVersion, change: Callable[[ModelVersion], object]
) -> None:
    services.delete_model(model=Model.objects.get(), by=BY)
    with pytest.raises(NotFound, match="There is no model svm any more"):
        change(v1)


@pytest.mark.parametrize("name", ["deploy", "roll back to it", "delete"])
def test_a_version_that_is_gone_is_said_to_be(v1: ModelVersion, name: str) -> None:
    services.delete_version(version=ModelVersion.objects.get(), by=BY)
    with pytest.raises(NotFound, match="svm:1 any more"):
        CHANGES[name](v1)
    assert AuditEntry.objects.filter(name="svm:1", action="delete").count() == 1


def test_a_live_version_that_goes_with_its_model_is_said_to_be_gone(v1: ModelVersion) -> None:
    go_live(v1)
    version = services.live_version_of(Model.objects.get())
    services.delete_model(model=Model.objects.get(), by=BY)
    with pytest.raises(NotFound, match="svm:1 any more"):
        services.configure_version(version=version, replicas=2, by=BY)


def test_an_upload_to_a_model_that_is_gone_says_so(svm: Model, add_version: AddVersion) -> None:
    services.delete_model(model=Model.objects.get(), by=BY)
    with pytest.raises(NotFound, match="There is no model svm any more"):
        add_version("1")


def test_no_key_is_bound_to_an_application_that_is_gone(digits: Application) -> None:
    services.delete_application(application=Application.objects.get(), by=BY)
    with pytest.raises(NotFound, match="There is no application digits any more"):
        services.create_api_key(name="ci", scopes=("predict",), applications=[digits], by=BY)
    assert not ApiKey.objects.exists()


def a_key() -> ApiKey:
    return services.create_api_key(name="ci", scopes=("predict",), by=BY)[0]


def test_a_key_is_renamed_and_given_time_at_once() -> None:
    seen, later = a_key(), timezone.now() + timedelta(days=9)
    services.update_api_key(key=ApiKey.objects.get(), changes={"expires_at": later}, by=BY)
    services.update_api_key(key=seen, changes={"name": "cd"}, by=BY)
    key = ApiKey.objects.get()
    assert (key.name, key.expires_at) == ("cd", later)


def test_nothing_else_of_a_key_is_changed() -> None:
    with pytest.raises(BadRequest, match="can_manage: Can't be changed"):
        services.update_api_key(key=a_key(), changes={"name": "cd", "can_manage": True}, by=BY)
    key = ApiKey.objects.get()
    assert (key.name, key.can_manage) == ("ci", False)


def test_a_key_that_two_revoke_was_revoked_by_the_first() -> None:
    seen = a_key()
    services.revoke_api_key(key=ApiKey.objects.get(), by=BY)
    at = ApiKey.objects.get().revoked_at
    services.revoke_api_key(key=seen, by=services.SYSTEM)
    assert seen.revoked_at == ApiKey.objects.get().revoked_at == at
    assert [entry.by for entry in AuditEntry.objects.filter(action="revoke")] == ["a test"]


def test_two_declare_the_same_new_application_at_once(v1: ModelVersion) -> None:
    go_live(v1)
    routes = [RouteRequest(model="svm")]
    told = [
        declare_application(
            name="churn",
            application=None,  # as both saw it
            input_type="doubles",
            fields={"latency_ms": 50.0, "description": description},
            routes=routes,
            by=BY,
        )
        for description in ("", "", "leavers")
    ]
    assert [declared.created for declared in told] == [True, False, False]
    assert [declared.changed for declared in told[1:]] == [[], ["description"]]


def test_two_declare_the_same_new_model_at_once() -> None:
    told = [
        declare_model(name="svm", model=None, input_type="doubles", description=text, by=BY)
        for text in ("", "", "a line")
    ]
    assert [declared.created for declared in told] == [True, False, False]
    assert [declared.changed for declared in told[1:]] == [[], ["description"]]


@pytest.mark.parametrize("read", [read_application, application_with_arms])
def test_an_application_that_is_gone_is_said_to_be_where_it_is_read(
    digits: Application, read: Callable[[Application], object]
) -> None:
    services.delete_application(application=Application.objects.get(), by=BY)
    with pytest.raises(NotFound, match="There is no application digits any more"):
        read(digits)


@pytest.mark.parametrize("gone", ["model_id", "pinned_version_id"])
def test_a_route_to_what_was_just_deleted_is_a_conflict(digits: Application, gone: str) -> None:
    """As a form of the console writes it, which looks before and locks nothing."""
    arm = {"model_id": Model.objects.get().pk, gone: NOBODY}
    with pytest.raises(Conflict, match="digits would ask was just deleted"):
        add_route(digits, **arm)


@transaction.atomic
def add_route(application: Application, **arm: int) -> None:
    with arms_agreeing(application):
        Route(application=application, **arm).save()
