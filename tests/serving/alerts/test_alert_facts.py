"""Facts: what the registry, the history and Redis say of every application."""

from datetime import timedelta
from typing import Any

import pytest
import redis
from django.utils import timezone

from registry import services
from registry.models import Application, Release
from serving.alerts.alert_facts import _counted, application_facts, counted_within, stack_facts
from serving.alerts.alert_rhythms import AlertWatch, alert_rhythms
from serving.alerts.alert_rules import ApplicationFacts
from serving.alerts.live_counts import LiveCounts
from serving.alerts.models import Alert
from serving.traffic.models import TrafficRow


@pytest.fixture(autouse=True)
def _nothing_counted() -> None:
    """Forget counts of applications that other tests gave the same number."""
    _counted.cache_clear()


def facts() -> ApplicationFacts:
    (found,) = application_facts(LiveCounts(), now=0.0)
    return found


def deployed(digits: Application) -> Release:
    model = digits.routes.get().model
    release = services.deploy(version=model.versions.get(), by=services.SYSTEM)
    services.begin_release(release=release)
    return release


def test_a_live_version_without_replicas_is_down(
    digits: Application, server_redis: redis.Redis
) -> None:
    assert facts().versions == []
    services.complete_release(release=deployed(digits))
    (version,) = facts().versions
    assert (version.spec.arm, version.is_down) == ("svm:1", True)
    assert (facts().slo_ms, facts().target) == (50.0, 0.99)


def test_a_release_that_failed_is_news(digits: Application, server_redis: redis.Redis) -> None:
    services.fail_release(release=deployed(digits), error="no such file")
    assert [release.error for release in facts().releases] == ["no such file"]


def test_the_history_is_counted_by_window(digits: Application) -> None:
    for minutes, late in ((2, 3), (50, 4), (3000, 5)):
        at = timezone.now() - timedelta(minutes=minutes)
        TrafficRow.objects.create(application=digits, at=at, step_s=10, good=100, late=late)
    assert counted_within(digits.pk, 300.0) == (3, 103)
    assert counted_within(digits.pk, 3600.0) == (7, 207)
    assert counted_within(digits.pk, 7 * 86_400.0) == (12, 312)


@pytest.mark.django_db
def test_redis_that_is_away_is_a_fact(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = redis.Redis.from_url("unix:///nowhere.sock")
    monkeypatch.setattr("serving.alerts.alert_facts.redis_client", lambda: gone)
    assert "nowhere" in stack_facts().redis_error


def test_a_watch_begins_with_a_grace_for_replicas_that_start(
    digits: Application, server_redis: redis.Redis
) -> None:
    services.complete_release(release=deployed(digits))
    AlertWatch().look()
    assert not Alert.objects.exists()
    AlertWatch(grace_s=0.0).look()
    assert Alert.objects.filter(application=digits, rule="no_answer", state="pending").exists()


def test_control_watches_sends_and_forgets() -> None:
    assert len(alert_rhythms()) == 3
