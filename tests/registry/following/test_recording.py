"""Each change of the registry is recorded in its transaction, and announced when it commits."""

import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from django.contrib.auth.models import User
from django.db import connection, transaction
from pytest_django.fixtures import Settings

from core.specs import CHANGES_CHANNEL
from registry import services
from registry.following.reading import last_number, read_newer
from registry.following.recording import registry_write
from registry.models import Application, Model, ModelVersion, RegistryChange, VersionCheck
from tests.redis_server import fresh_redis_client
from tests.registry.conftest import BY

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]

LONG_S = 30.0


@pytest.fixture
def heard(server_redis: redis.Redis) -> Iterator[redis.client.PubSub]:
    with server_redis.pubsub(ignore_subscribe_messages=True) as pubsub:
        pubsub.subscribe(CHANGES_CHANNEL)
        pubsub.get_message(timeout=LONG_S)  # the subscription itself
        yield pubsub


def drain(heard: redis.client.PubSub) -> int:
    """Return how many announcements have come."""
    count = 0
    while heard.get_message(timeout=0.05) is not None:
        count += 1
    return count


def changed_by(write: Callable[[], object]) -> set[tuple[str, int]]:
    before = last_number()
    write()
    return set(RegistryChange.objects.filter(pk__gt=before).values_list("kind", "row_id"))


def test_a_deleted_row_leaves_its_change(digits: Application) -> None:
    key, _ = services.create_api_key(name="k", scopes=["predict"], by=BY, applications=[digits])
    before = last_number()
    application, bound = ("application", digits.pk), ("key", key.pk)
    services.delete_application(application=digits, by=BY)
    reading = read_newer(before)
    assert reading is not None
    assert reading.specs[application] is None
    assert bound in reading.specs


def test_a_key_that_is_bound_from_either_side_has_changed(digits: Application) -> None:
    key, _ = services.create_api_key(name="k", scopes=["predict"], by=BY)
    assert changed_by(lambda: digits.keys.add(key)) == {("key", key.pk)}
    assert changed_by(digits.keys.clear) == {("key", key.pk)}


def test_bulk_updates_of_services_are_recorded(v1: ModelVersion) -> None:
    version = ("version", v1.pk)
    check = VersionCheck.objects.get(version=v1)
    release = services.deploy(version=v1, by=BY)
    assert version in changed_by(
        lambda: services.pass_check(check=check, signature='{"n_features": 64}')
    )
    assert version in changed_by(lambda: services.begin_release(release=release))
    services.configure_version(version=v1, max_replicas=4, by=BY)
    assert version in changed_by(lambda: services.autoscale(version_id=v1.pk, replicas=2))
    assert not changed_by(lambda: services.autoscale(version_id=v1.pk, replicas=2))
    assert not changed_by(lambda: User.objects.create_user("grace"))


def test_a_history_that_lacks_the_last_number_asks_for_a_whole_reading(svm: Model) -> None:
    number = last_number()
    RegistryChange.objects.all().delete()  # as a database from a backup
    assert read_newer(number) is None


def test_numbers_commit_in_their_order(svm: Model) -> None:
    """Nobody can take a number before the one who took the last one has committed."""
    taken, commit = threading.Event(), threading.Event()
    numbers: list[int] = []

    def first() -> None:
        try:
            with transaction.atomic():
                Model.objects.get(pk=svm.pk).save()
                numbers.append(last_number())
                taken.set()
                commit.wait(LONG_S)
        finally:
            connection.close()

    def second() -> None:
        try:
            taken.wait(LONG_S)
            with registry_write:
                assert commit.is_set()
                Model.objects.get(pk=svm.pk).save()
                numbers.append(last_number())
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    assert taken.wait(LONG_S)
    threads[1].join(0.2)
    assert threads[1].is_alive()
    commit.set()
    for thread in threads:
        thread.join(LONG_S)
    assert numbers == sorted(numbers)
    assert len(numbers) == 2


def test_a_commit_of_many_changes_is_announced_once(heard: redis.client.PubSub) -> None:
    with transaction.atomic():
        for name in ("svm", "tree", "knn"):
            services.create_model(name=name, input_type="doubles", by=BY)
        assert heard.get_message(timeout=0.05) is None
    assert drain(heard) == 1


def test_a_part_that_was_rolled_back_does_not_silence_the_rest(
    heard: redis.client.PubSub,
) -> None:
    with transaction.atomic():
        with transaction.atomic():
            services.create_model(name="svm", input_type="doubles", by=BY)
            transaction.set_rollback(True)
        services.create_model(name="tree", input_type="doubles", by=BY)
    assert drain(heard) == 1
    assert list(Model.objects.values_list("name", flat=True)) == ["tree"]


def test_a_release_is_announced_for_those_who_wait_for_it(
    heard: redis.client.PubSub, v1: ModelVersion
) -> None:
    drain(heard)
    services.deploy(version=v1, by=BY)
    assert drain(heard) >= 1


def test_what_is_rolled_back_or_changes_nothing_is_never_announced(
    heard: redis.client.PubSub, v1: ModelVersion
) -> None:
    drain(heard)
    services.configure_version(version=v1, by=BY)
    with transaction.atomic():
        services.create_model(name="knn", input_type="doubles", by=BY)
        transaction.set_rollback(True)
    assert drain(heard) == 0


def test_without_redis_the_change_is_kept_and_a_warning_logged(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REDIS_URL = "unix:///nowhere/redis.sock?db=0"
    with fresh_redis_client():
        services.create_model(name="svm", input_type="doubles", by=BY)
    assert Model.objects.exists()
    assert [record.levelname for record in caplog.records if "announced" in record.message]
