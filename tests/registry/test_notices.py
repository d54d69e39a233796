"""The running system is told of a change when it is committed, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.db import transaction
from pytest_django.fixtures import Settings

from core.changes import CHANGES_CHANNEL, ChangeNotice, notice_in
from registry import services
from registry.models import Application, Model, ModelVersion, VersionCheck
from registry.services import RouteRequest
from tests.redis_server import fresh_redis_client
from tests.registry.conftest import BY

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard(server_redis: redis.Redis) -> Iterator[redis.client.PubSub]:
    with server_redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(CHANGES_CHANNEL)
        pubsub.get_message(timeout=30)  # the subscription itself
        yield pubsub


def drain(heard: redis.client.PubSub) -> None:
    """Read what the set-up of a test announced."""
    while heard.get_message(timeout=0.05) is not None:
        pass


def heard_next(heard: redis.client.PubSub) -> ChangeNotice:
    message = heard.get_message(timeout=30)
    assert message is not None
    notice = notice_in(message["data"])
    assert notice is not None
    return notice


def test_a_commit_is_announced_with_what_it_changed(heard: redis.client.PubSub) -> None:
    model = services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
    assert heard_next(heard).ids == {"model": {model.pk}}


def test_each_notice_has_a_number_and_names_the_one_before(heard: redis.client.PubSub) -> None:
    for name in ("svm", "tree"):
        services.create_model(name=name, input_type="doubles", by=services.SYSTEM)
    first, second = heard_next(heard), heard_next(heard)
    assert second.number > first.number > 0
    assert second.after == first.number


def test_what_belongs_to_an_application_changes_it(
    heard: redis.client.PubSub, digits: Application
) -> None:
    drain(heard)
    services.set_objective(application=digits, latency_ms=30.0, by=services.SYSTEM)
    assert heard_next(heard).ids["application"] == {digits.pk}
    services.replace_routes(
        application=digits, routes=[RouteRequest(model="svm", weight=0.5)], by=services.SYSTEM
    )
    assert heard_next(heard).ids["application"] == {digits.pk}
    deleted = digits.pk
    services.delete_application(application=digits, by=services.SYSTEM)
    assert heard_next(heard).ids["application"] == {deleted}


@pytest.mark.parametrize("public", [True, False])
def test_an_application_that_is_not_public_is_said_to_be_so(
    heard: redis.client.PubSub, digits: Application, public: bool
) -> None:
    drain(heard)
    digits.public = public
    digits.save()
    assert heard_next(heard).ids.get("private", set()) == (set() if public else {digits.pk})


def test_a_revoked_key_is_said_to_be_one(heard: redis.client.PubSub, digits: Application) -> None:
    drain(heard)
    key, _ = services.create_api_key(name="k", scopes=["predict"], by=BY, applications=[digits])
    assert heard_next(heard).ids == {"key": {key.pk}}
    services.revoke_api_key(key=key, by=services.SYSTEM)
    assert heard_next(heard).ids == {"key": {key.pk}, "revoked": {key.pk}}
    deleted = key.pk
    key.delete()
    assert heard_next(heard).ids["revoked"] == {deleted}


def test_a_key_that_is_bound_from_either_side_has_changed(
    heard: redis.client.PubSub, digits: Application
) -> None:
    key, _ = services.create_api_key(name="k", scopes=["predict"], by=BY)
    drain(heard)
    digits.keys.add(key)
    assert heard_next(heard).ids == {"key": {key.pk}}
    drain(heard)
    digits.keys.clear()
    assert heard_next(heard).ids == {"key": {key.pk}}


def test_what_a_check_found_out_and_another_start_are_announced(
    heard: redis.client.PubSub, v1: ModelVersion
) -> None:
    check = VersionCheck.objects.get(version=v1)
    release = services.deploy(version=v1, by=services.SYSTEM)
    drain(heard)
    services.pass_check(check=check, n_features=None, signature='{"n_features": 64}')
    assert heard_next(heard).ids == {"version": {v1.pk}}
    services.begin_release(release=release)
    assert heard_next(heard).ids == {"version": {v1.pk}, "release": {release.pk}}


def test_redis_at_its_limit_passes_on_that_something_changed(
    heard: redis.client.PubSub, server_redis: redis.Redis
) -> None:
    server_redis.config_set("maxmemory", 1)
    try:
        services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
        assert heard_next(heard).number == 0
    finally:
        server_redis.config_set("maxmemory", 0)


def test_a_commit_of_many_changes_is_announced_once(heard: redis.client.PubSub) -> None:
    with transaction.atomic():
        for name in ("svm", "tree", "knn"):
            services.create_model(name=name, input_type="doubles", by=services.SYSTEM)
    assert heard.get_message(timeout=30) is not None
    assert heard.get_message(timeout=0.05) is None


def test_a_part_that_was_rolled_back_does_not_silence_the_rest(
    heard: redis.client.PubSub,
) -> None:
    with transaction.atomic():
        with transaction.atomic():
            services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
            transaction.set_rollback(True)
        services.create_model(name="tree", input_type="doubles", by=services.SYSTEM)
    assert heard.get_message(timeout=30) is not None
    assert list(Model.objects.values_list("name", flat=True)) == ["tree"]


def test_a_change_of_how_a_version_runs_is_announced(
    heard: redis.client.PubSub, v1: ModelVersion
) -> None:
    drain(heard)
    services.configure_version(version=v1, batching="none", max_replicas=4, by=services.SYSTEM)
    assert heard.get_message(timeout=30) is not None
    assert services.autoscale(version_id=v1.pk, replicas=2)
    assert heard.get_message(timeout=30) is not None
    assert not services.autoscale(version_id=v1.pk, replicas=2)
    assert heard.get_message(timeout=0.05) is None


def test_a_change_that_changes_nothing_is_not_announced(
    heard: redis.client.PubSub, v1: ModelVersion
) -> None:
    drain(heard)
    services.configure_version(version=v1, by=services.SYSTEM)
    assert heard.get_message(timeout=0.05) is None


def test_nothing_is_announced_before_the_commit(heard: redis.client.PubSub) -> None:
    with transaction.atomic():
        services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
        assert heard.get_message(timeout=0.05) is None
    assert heard.get_message(timeout=30) is not None


def test_what_is_rolled_back_is_never_announced(heard: redis.client.PubSub) -> None:
    with transaction.atomic():
        services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
        transaction.set_rollback(True)
    assert heard.get_message(timeout=0.05) is None


def test_a_change_of_another_app_is_not_announced(heard: redis.client.PubSub) -> None:
    from django.contrib.auth.models import User

    User.objects.create_user("grace")
    assert heard.get_message(timeout=0.05) is None


def test_without_redis_the_change_is_kept_and_a_warning_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    with fresh_redis_client():
        services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
    assert Model.objects.exists()
    assert "change notice not sent" in caplog.text
