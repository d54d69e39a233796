"""Every release ends, whatever a model says and whatever goes wrong on the way."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any

import pytest
import redis
from django.db import OperationalError
from django.db.models.signals import pre_save
from django.utils import timezone

from core.redis.redis_client import redis_client
from registry import services
from registry.models import Release, VersionCheck
from registry.releases.progress import QUEUED, checking_key
from serving.cluster.control.ages import Ages
from serving.cluster.control.checks.check_queue import RUNNING_TTL_S, Checks, take_up
from serving.cluster.control.checks.check_task import check_version
from serving.cluster.control.checks.tries import MOST_TRIES
from serving.cluster.control.releases.open_releases import Cluster, Releases, fail
from tests.serving.cluster.control.rounds import BY, make_version

pytestmark = pytest.mark.django_db


def a_release(name: str, **fields: Any) -> Release:
    return services.deploy(version=make_version(name, **fields), by=BY)


@contextmanager
def breaking(state: str, *, model: str, error: Exception) -> Iterator[None]:
    """Have a step of this model's release go wrong."""

    def refuse(instance: Release, **_: Any) -> None:
        if instance.state == state and instance.model.name == model:
            raise error

    pre_save.connect(refuse, sender=Release)
    try:
        yield
    finally:
        pre_save.disconnect(refuse, sender=Release)


def all_releases(client: redis.Redis) -> Releases:
    ages = Ages()
    return Releases(
        client, checks=Checks(client, begin=lambda _: None, ages=ages, most=4), ages=ages
    )


def after_a_round(release: Release) -> tuple[str, str]:
    all_releases(redis_client()).advance(Cluster(records=[], views=[], workers=[], now=monotonic()))
    release.refresh_from_db()
    return release.state, release.error


def states() -> dict[str, str]:
    return dict(Release.objects.values_list("model__name", "state"))


def test_one_that_cannot_be_brought_forward_fails_alone_after_a_few_tries(
    client: redis.Redis,
) -> None:
    checked = timezone.now()
    odd, good = a_release("odd", validated_at=checked), a_release("good", validated_at=checked)
    releases = all_releases(client)

    with breaking("starting", model="odd", error=ValueError("no\0 such thing")):
        releases.advance(Cluster(records=[], views=[], workers=[], now=monotonic()))
        assert states() == {"odd": "pending", "good": "starting"}
        for _ in range(MOST_TRIES - 1):
            releases.advance(Cluster(records=[], views=[], workers=[], now=monotonic()))

    odd.refresh_from_db()
    good.refresh_from_db()
    assert (odd.state, good.state) == ("failed", "starting")
    assert odd.error == (
        f"it could not be brought forward, tried {MOST_TRIES} times: ValueError: no\\x00 such thing"
    )


def test_that_the_database_is_away_says_nothing_of_a_release(client: redis.Redis) -> None:
    a_release("odd", validated_at=timezone.now())
    releases = all_releases(client)

    with breaking("starting", model="odd", error=OperationalError("database is locked")):
        for _ in range(MOST_TRIES + 1):
            with pytest.raises(OperationalError):
                releases.advance(Cluster(records=[], views=[], workers=[], now=monotonic()))

    assert states() == {"odd": "pending"}


@pytest.mark.usefixtures("server_redis")
def test_one_whose_check_goes_wrong_again_and_again_fails() -> None:
    # This process is no worker, without which no check can be held.
    release = a_release("odd")
    check = VersionCheck.objects.get(version=release.version_id)

    for _ in range(MOST_TRIES):
        with suppress(RuntimeError):
            check_version(check.pk)
        redis_client().delete(checking_key(check.pk))  # as if it had expired

    check.refresh_from_db()
    assert "it could not be checked, tried 3 times: RuntimeError: expected to run" in check.error
    assert after_a_round(release) == ("failed", check.error)


def test_a_check_that_was_queued_twice_runs_once(server_redis: redis.Redis) -> None:
    check = VersionCheck.objects.get(version=a_release("odd").version_id)
    server_redis.set(checking_key(check.pk), QUEUED)

    assert take_up(server_redis, check.pk)
    check_version(check.pk)  # would raise, as no check can be held here

    check.refresh_from_db()
    assert check.is_open
    assert server_redis.get(f"clipper:release-tries:version-check:{check.pk}") is None
    assert 0 < server_redis.ttl(checking_key(check.pk)) <= RUNNING_TTL_S
    server_redis.delete(checking_key(check.pk))  # as if who began it had died
    assert take_up(server_redis, check.pk)


@pytest.mark.usefixtures("server_redis")
def test_one_whose_checks_never_come_to_an_end_fails(server_redis: redis.Redis) -> None:
    release = a_release("odd")
    check = VersionCheck.objects.get(version=release.version_id)
    server_redis.set(f"clipper:release-tries:version-check:{check.pk}", MOST_TRIES)

    check_version(check.pk)

    assert after_a_round(release) == (
        "failed",
        f"its check was begun {MOST_TRIES} times and never ended",
    )


def test_what_a_model_says_is_kept_printable_and_short() -> None:
    release = a_release("odd")

    fail(release, reason="head\0\ud800\x1b[31m" + "x" * 5_000_000 + "tail")

    release.refresh_from_db()
    release.version.refresh_from_db()
    assert release.error.startswith("head\\x00\\ud800\\x1b[31mx")
    assert release.error.endswith("xtail")
    assert len(release.error) < 5000
    assert release.version.load_error == release.error
