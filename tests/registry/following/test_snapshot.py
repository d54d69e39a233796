"""Snapshot of the registry for the prediction path."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.specs import ApiKeySpec, ApplicationSpec, ModelSpec, RouteSpec, VersionSpec
from registry import services
from registry.following.reading import build_snapshot
from registry.models import ApiKey, Application, Model, ModelVersion
from registry.services import RouteRequest
from tests.registry.conftest import BY, go_live

pytestmark = pytest.mark.django_db


def test_it_holds_applications_models_and_versions(
    digits: Application, svm: Model, v1: ModelVersion
) -> None:
    go_live(v1)
    snapshot = build_snapshot()
    assert snapshot.applications["digits"] == ApplicationSpec(
        id=digits.pk,
        name="digits",
        input_type="doubles",
        slo_ms=50.0,
        slo_target=0.99,
        default_output=b"-1",
        policy="exp4",
        policy_params={},
        combine="vote",
        confidence_threshold=0.0,
        public=False,
        feedback_window_s=86_400,
        routes=(
            RouteSpec(model_id=svm.pk, model="svm", role="arm", weight=1.0, pinned_version_id=None),
        ),
    )
    assert snapshot.models[svm.pk] == ModelSpec(
        id=svm.pk, name="svm", input_type="doubles", live_version_id=v1.pk
    )
    assert snapshot.versions_by_arm["svm:1"] is snapshot.versions[v1.pk]
    assert snapshot.versions[v1.pk] == VersionSpec(
        id=v1.pk,
        model_id=svm.pk,
        model="svm",
        version="1",
        runtime="sklearn",
        input_type="doubles",
        digest=v1.digest,
        device="cpu",
        replicas=1,
        allow_pickle=False,
        generation=1,
    )


def test_it_tells_no_default_from_a_default_of_null(digits: Application) -> None:
    for text, seen in (("null", b"null"), ("", None)):
        Application.objects.update(default_output=text)
        assert build_snapshot().applications["digits"].default_output == seen


def test_it_holds_usable_keys_by_digest(digits: Application) -> None:
    later = timezone.now() + timedelta(days=1)
    bound, text = services.create_api_key(
        name="bound", scopes=["predict"], by=BY, applications=[digits], expires_at=later
    )
    revoked, _ = services.create_api_key(name="revoked", scopes=["predict"], by=BY)
    services.revoke_api_key(key=revoked, by=services.SYSTEM)
    expired, _ = services.create_api_key(name="expired", scopes=["predict"], by=BY)
    ApiKey.objects.filter(pk=expired.pk).update(expires_at=timezone.now())
    assert build_snapshot().keys == {
        ApiKey.digest_of(text): ApiKeySpec(
            id=bound.pk,
            name="bound",
            digest=ApiKey.digest_of(text),
            scopes=frozenset({"predict"}),
            application_ids=frozenset({digits.pk}),
            expires_at=later.timestamp(),
        )
    }


def test_a_key_that_lost_its_last_application_opens_no_other(digits: Application) -> None:
    services.create_api_key(name="k", scopes=["predict"], by=BY, applications=[digits])
    services.delete_application(application=digits, by=services.SYSTEM)
    (key,) = build_snapshot().keys.values()
    assert key.application_ids == frozenset()
    assert not key.allows(scope="predict", application_id=digits.pk or 1)


def test_it_costs_a_handful_of_queries_however_much_there_is(
    digits: Application, django_assert_max_num_queries: Any
) -> None:
    for name in ("a", "b", "c"):
        services.create_application(
            name=name,
            input_type="doubles",
            slo_ms=1.0,
            routes=[RouteRequest(model="svm")],
            by=services.SYSTEM,
        )
    with django_assert_max_num_queries(8):
        build_snapshot()
