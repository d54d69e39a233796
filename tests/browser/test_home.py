"""The console's home page with what web processes, replicas and selection really publish."""

import json
import time
from typing import Any

import pytest
import redis
from django.contrib.auth.models import User
from playwright.sync_api import expect

from registry.models import Application, ModelVersion
from selection.store.redis_keys import GLOBAL_CONTEXT, pack_vector, reliability_key, state_key
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.engine.stats import VersionStats
from serving.metrics.published import INDEX, KEY_PREFIX, Metrics, Reading
from tests.browser.conftest import SignIn

pytestmark = pytest.mark.browser


def publish(
    client: redis.Redis,
    *,
    queries: int,
    latency_s: float = 0.004,
    refused: int = 0,
    input_refused: int = 0,
) -> None:
    """Publish what a web process would after one second.

    In it `queries` were answered, and svm:1 was asked as often: in batches of ten, and after
    refusing `refused` others. Models refused `input_refused` inputs more.
    """
    metrics = Metrics(process_id="web-1", pid=1)
    metrics.of_application("digits")
    stats = VersionStats()
    versions = {"svm:1": Reading(stats, waiting=12, in_flight=10)}
    metrics.document(at=time.time(), now=0.0, rss_bytes=0, versions=versions)
    for _ in range(queries):
        metrics.of_application("digits").record((), seconds=latency_s, slo_ms=50.0)
    application = metrics.of_application("digits")
    application.refused = application.errors = input_refused
    stats.misses, stats.overloaded = queries + refused, refused
    for _ in range(queries // 10):
        stats.record_batch(waits=[0.002] * 10, seconds=0.01, model_seconds=0.008)
    document = metrics.document(at=time.time(), now=1.0, rss_bytes=128 << 20, versions=versions)
    client.set(f"{KEY_PREFIX}web-1", json.dumps(document))
    client.zadd(INDEX, {"web-1": float("inf")})


def replica_of(version: ModelVersion) -> ReplicaRecord:
    return ReplicaRecord(
        id=f"{version}-a",
        model=version.model.name,
        version=version.version,
        version_id=version.pk,
        generation=0,
        state=ReplicaState.READY,
    )


def learned(client: redis.Redis, application: Application, **right: float) -> None:
    fields: dict[Any, Any] = {
        f"rew:{model}:1": pack_vector((100.0, value, value)) for model, value in right.items()
    }
    client.hset(state_key(application.pk, GLOBAL_CONTEXT), mapping=fields)


def test_numbers_trust_and_replicas_follow_what_is_published(
    sign_in: SignIn, owner: User, digits: Application, server_redis: redis.Redis
) -> None:
    publish(server_redis, queries=250)
    page = sign_in(owner)
    page.goto("/admin/")
    card = page.get_by_test_id("application-digits")
    expect(card.locator("[data-text=rate]").first).to_have_text("250")
    expect(card.get_by_test_id("arm-share").first).to_have_text("50 %")

    publish(server_redis, queries=900, latency_s=0.4)
    learned(server_redis, digits, svm=10.0, forest=90.0)
    svm = ModelVersion.objects.get(model__name="svm")
    own_directory().enqueue(replica_of(svm))

    expect(card.locator("[data-text=rate]").first).to_have_text("900")
    expect(card).to_have_attribute("data-state", "late")
    expect(card.locator("[data-key='forest:1'] [data-testid=arm-share]")).to_have_text("100 %")
    ready = page.locator("[data-testid=live-model][data-key=svm] [data-text=ready]")
    expect(ready).to_have_text("1 of 1")


def test_an_overloaded_model_is_named_at_the_head_of_the_page_until_it_keeps_up_again(
    sign_in: SignIn, owner: User, digits: Application, server_redis: redis.Redis
) -> None:
    for arm in ModelVersion.objects.all():
        own_directory().enqueue(replica_of(arm))
    publish(server_redis, queries=250)
    page = sign_in(owner)
    page.goto("/admin/")
    svm = page.locator("[data-testid=live-model][data-key=svm]")
    expect(svm.get_by_test_id("model-state")).to_have_text("Keeping up")
    expect(svm.locator("[data-text=batches]")).to_have_text("10 in flight, batches of 10")
    expect(page.get_by_test_id("alarm")).to_have_count(0)

    publish(server_redis, queries=250, refused=120)

    expect(svm).to_have_attribute("data-state", "overloaded")
    expect(page.get_by_test_id("alarm")).to_contain_text("Overloaded: refuses 120 queries/s")

    publish(server_redis, queries=250)

    expect(page.get_by_test_id("alarm")).to_have_count(0)
    expect(svm).to_have_attribute("data-state", "good")


def test_an_arm_that_refuses_what_others_accept_is_named_and_the_application_is_not_green(
    sign_in: SignIn,
    owner: User,
    digits: Application,
    server_redis: redis.Redis,
) -> None:
    server_redis.hset(reliability_key(digits.pk), "forest:1", "0.88")
    publish(server_redis, queries=60, input_refused=40)
    page = sign_in(owner)
    page.goto("/admin/")

    card = page.get_by_test_id("application-digits")
    expect(card).to_have_attribute("data-state", "late")
    expect(card).to_contain_text("40 % get no model's answer")
    expect(page.get_by_test_id("causes")).to_contain_text("40 % refused")
    expect(card.locator("[data-key='forest:1']")).to_contain_text("answers 12 %")
    expect(card.locator("[data-key='svm:1'] [data-text=answers]")).to_have_text("")
