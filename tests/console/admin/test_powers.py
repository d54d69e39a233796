"""Nobody makes more of a key or of a person than they may themselves."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from registry import services
from registry.models import ApiKey, Application
from tests.console.people import staff
from tests.registry.conftest import BY

pytestmark = pytest.mark.django_db

PAST = timezone.now() - timedelta(days=1)


def expired(*scopes: str, **options: Any) -> ApiKey:
    key, _ = services.create_api_key(name="app", scopes=scopes, by=BY, **options)
    ApiKey.objects.filter(pk=key.pk).update(expires_at=PAST)
    return key


@pytest.mark.parametrize(
    ("scope", "options", "revived"),
    [("manage", {}, False), ("predict", {"can_run_code": True}, False), ("predict", {}, True)],
)
def test_a_key_is_revived_only_by_those_who_may_make_one(
    scope: str, options: dict[str, Any], revived: bool
) -> None:
    key = expired(scope, **options)
    clerk = staff("change_apikey", "view_apikey")
    clerk.post(f"/admin/registry/apikey/{key.pk}/change/", {"name": "renamed"})
    key.refresh_from_db()
    assert (key.name, key.is_active) == (("renamed", True) if revived else ("app", False))


def test_a_superuser_revives_a_key_that_manages(admin_client: Client) -> None:
    key = expired("manage")
    admin_client.post(f"/admin/registry/apikey/{key.pk}/change/", {"name": "app"})
    key.refresh_from_db()
    assert key.is_active


def test_whoever_edits_people_makes_themselves_no_more_than_they_were() -> None:
    clerk = staff("change_user", "view_user")
    user = User.objects.get(username="clerk")
    clerk.post(f"/admin/people/{user.pk}/", {"role": "admin", "is_superuser": "on"})
    user.refresh_from_db()
    assert (user.is_superuser, user.groups.count()) == (False, 0)


@pytest.mark.parametrize("alone", [True, False])
def test_an_application_with_routes_is_deleted_only_by_those_who_may_delete_routes(
    alone: bool, digits: Application
) -> None:
    codes = ["view_application", "delete_application"] + ([] if alone else ["delete_route"])
    form = {"post": "yes"}
    answer = staff(*codes).post(f"/admin/registry/application/{digits.pk}/delete/", form)
    assert answer.status_code == (403 if alone else 302)
    assert Application.objects.filter(pk=digits.pk).exists() == alone


@pytest.mark.parametrize("button", [{"role": "viewer"}, {"password": "1"}, {"remove": "1"}])
def test_a_superuser_is_changed_by_no_page(admin_user: User, button: dict[str, str]) -> None:
    clerk = staff("change_user", "view_user", "delete_user")
    answer = clerk.post(f"/admin/people/{admin_user.pk}/", button)
    assert "is a superuser" in answer.content.decode()
    there = User.objects.get(pk=admin_user.pk)
    assert (there.password, there.is_superuser) == (admin_user.password, True)
