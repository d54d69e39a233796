"""The other writes, and the rules that the database itself holds."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from core.errors import Forbidden, NotFound
from registry import services
from registry.models import ApiKey, Application, ModelVersion, Release
from registry.services import Actor

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


def test_a_key_that_manages_is_made_by_superusers_and_commands_alone() -> None:
    def make(by: Actor) -> ApiKey:
        return services.create_api_key(name="k", scopes=["manage"], by=by)[0]

    boss = make(Actor.of_user(User.objects.create_superuser("boss")))
    assert make(Actor.of_command("create_api_key")).can_manage
    for by in (Actor.of_user(User.objects.create_user("grace")), Actor.of_key(boss)):
        with pytest.raises(Forbidden, match="Only a superuser"):
            make(by)
