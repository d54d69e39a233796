"""The other writes, and the rules that the database itself holds."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.errors import ClipperError, Forbidden, NotFound
from registry import services
from registry.models import ApiKey, Application, ModelVersion, Release
from registry.services import Actor
from tests.registry.conftest import BY

pytestmark = pytest.mark.django_db


def test_a_change_of_a_part_dates_the_whole(digits: Application) -> None:
    Application.objects.update(updated_at=timezone.now() - timedelta(days=1))
    services.set_objective(application=digits, latency_ms=10.0, by=services.SYSTEM)
    digits.refresh_from_db()
    assert timezone.now() - digits.updated_at < timedelta(minutes=1)


def test_an_application_that_is_gone_gets_no_routes(digits: Application) -> None:
    Application.objects.all().delete()
    with pytest.raises(NotFound):
        services.replace_routes(application=digits, routes=[], by=services.SYSTEM)


def test_a_form_hears_of_a_wrong_policy_too() -> None:
    application = Application(name="a", input_type="doubles", policy="exp5")
    with pytest.raises(ValidationError) as caught:
        application.full_clean()
    assert list(caught.value.message_dict) == ["policy_params"]


def test_the_database_allows_one_open_and_one_live_release(v1: ModelVersion) -> None:
    for state in ("pending", "live"):
        Release.objects.create(model=v1.model, version=v1, kind="deploy", state=state)
        with pytest.raises(IntegrityError), transaction.atomic():
            Release.objects.create(model=v1.model, version=v1, kind="deploy", state=state)


@pytest.mark.parametrize(
    "options",
    [
        {"scopes": []},
        {"scopes": ["rule"]},
        {"scopes": ["predict"], "expires_at": timezone.now() - timedelta(days=1)},
        {"scopes": ["predict"], "name": ""},
        {"scopes": ["predict"], "name": "n" * 101},
    ],
)
def test_a_senseless_key_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ClipperError):
        services.create_api_key(**{"name": "k", "by": BY, **options})


def test_pickle_is_not_granted_by_who_lacks_it() -> None:
    grace = User.objects.create_user("grace")
    with pytest.raises(Forbidden):
        services.create_api_key(
            name="k", scopes=["predict"], by=Actor.of_user(grace), can_run_code=True
        )
    assert not ApiKey.objects.exists()
    grace.user_permissions.add(Permission.objects.get(codename="run_code"))
    key, _ = services.create_api_key(
        name="k",
        scopes=["predict"],
        by=Actor.of_user(User.objects.get()),
        can_run_code=True,
    )
    assert key.can_run_code
    assert Actor.of_key(key).may_run_code


def test_a_key_that_manages_is_made_by_superusers_and_commands_alone() -> None:
    def make(by: Actor) -> ApiKey:
        return services.create_api_key(name="k", scopes=["manage"], by=by)[0]

    boss = make(Actor.of_user(User.objects.create_superuser("boss")))
    assert make(Actor.of_command("create_api_key")).can_manage
    for by in (Actor.of_user(User.objects.create_user("grace")), Actor.of_key(boss)):
        with pytest.raises(Forbidden, match="Only a superuser"):
            make(by)
