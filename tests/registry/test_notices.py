"""The running system is told of a change when it is committed, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from django.db import transaction
from pytest_django.fixtures import Settings

from registry import notices, services
from registry.models import Model, ModelVersion
from tests.redis_server import fresh_redis_client

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def heard(server_redis: redis.Redis) -> Iterator[redis.client.PubSub]:
    with server_redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(notices.CHANGES_CHANNEL)
        pubsub.get_message(timeout=30)  # the subscription itself
        yield pubsub


def drain(heard: redis.client.PubSub) -> None:
    """Read what the set-up of a test announced."""
    while heard.get_message(timeout=0.05) is not None:
        pass


def test_a_commit_is_announced(heard: redis.client.PubSub) -> None:
    services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
    message = heard.get_message(timeout=30)
    assert message is not None
    assert message["data"] == b"registry"


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
