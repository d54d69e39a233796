"""Settings of a version: values allowed and refused, and permission to move the replicas."""

from typing import Any

import pytest
from django.db import IntegrityError, transaction

from core.errors import BadRequest, NotFound
from registry import services
from registry.models import ModelVersion
from registry.models.models import Batching
from serving.engine.batching import CONTROLLERS

pytestmark = pytest.mark.django_db


def test_every_way_of_batching_has_its_controller() -> None:
    assert set(Batching.values) == set(CONTROLLERS)


def test_an_old_copy_of_a_version_overwrites_nothing(v1: ModelVersion) -> None:
    old = ModelVersion.objects.get()
    services.configure_version(version=v1, max_replicas=8, replicas=5, by=services.SYSTEM)
    services.configure_version(version=old, threads=2, by=services.SYSTEM)
    kept = ModelVersion.objects.get()
    assert (kept.replicas, kept.max_replicas, kept.threads) == (5, 8, 2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"batching": "static"}, "max_batch_size"),
        ({"max_batch_size": 0}, "max_batch_size"),
        ({"max_batch_size": 4097}, "max_batch_size"),
        ({"batch_wait_ms": -0.1}, "batch_wait_ms"),
        ({"batch_wait_ms": float("nan")}, "batch_wait_ms"),
        ({"max_replicas": 257}, "max_replicas"),
        ({"min_replicas": 0, "max_replicas": 4}, "min_replicas"),
        ({"min_replicas": 5, "max_replicas": 4}, "min_replicas"),
        ({"max_replicas": 4, "replicas": 5}, "replicas"),
        ({"memory_limit_mb": 64}, "memory_limit_mb"),
        ({"threads": None}, "threads"),
        ({"runtime": "python"}, "runtime"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_nothing_is_changed(
    v1: ModelVersion, changes: dict[str, Any], field: str
) -> None:
    before = ModelVersion.objects.values().get()
    with pytest.raises(BadRequest) as caught:
        services.configure_version(version=v1, notes="changed too", **changes, by=services.SYSTEM)
    assert list(caught.value.details["fields"]) == [field]
    assert ModelVersion.objects.values().get() == before


def test_a_version_that_is_gone_is_not_found(v1: ModelVersion) -> None:
    ModelVersion.objects.all().delete()
    with pytest.raises(NotFound, match="svm:1"):
        services.configure_version(version=v1, threads=2, by=services.SYSTEM)


# --- Replicas ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replicas", "low", "high", "kept"), [(1, 2, 4, 2), (7, 2, 4, 4), (3, 2, 4, 3), (0, None, 4, 1)]
)
def test_new_bounds_bring_the_replicas_within(
    v1: ModelVersion, replicas: int, low: int | None, high: int, kept: int
) -> None:
    services.configure_version(version=v1, replicas=replicas, by=services.SYSTEM)
    services.configure_version(version=v1, min_replicas=low, max_replicas=high, by=services.SYSTEM)
    assert ModelVersion.objects.get().replicas == kept


def test_without_its_upper_bound_autoscaling_is_off_and_the_lower_one_gone(
    v1: ModelVersion,
) -> None:
    services.configure_version(version=v1, min_replicas=2, max_replicas=4, by=services.SYSTEM)
    services.configure_version(version=v1, max_replicas=None, by=services.SYSTEM)
    kept = ModelVersion.objects.get()
    assert (kept.min_replicas, kept.max_replicas, kept.replicas) == (None, None, 2)


@pytest.mark.parametrize("replicas", [0, 1, 5])
def test_a_person_scales_within_the_bounds_only(v1: ModelVersion, replicas: int) -> None:
    services.configure_version(version=v1, min_replicas=2, max_replicas=4, by=services.SYSTEM)
    services.configure_version(version=v1, replicas=3, by=services.SYSTEM)
    with pytest.raises(BadRequest, match=f"Expected 2 to 4, the bounds .* got {replicas}"):
        services.configure_version(version=v1, replicas=replicas, by=services.SYSTEM)
    assert ModelVersion.objects.get().replicas == 3


@pytest.mark.parametrize("replicas", [-1, 0, 1, 2, 5])
def test_autoscaling_outside_the_bounds_or_to_the_same_changes_nothing(
    v1: ModelVersion, replicas: int
) -> None:
    services.configure_version(version=v1, min_replicas=2, max_replicas=4, by=services.SYSTEM)
    assert not services.autoscale(version_id=v1.pk, replicas=replicas)
    assert ModelVersion.objects.get().replicas == 2


def test_autoscaling_goes_down_to_one_where_there_is_no_lower_bound(v1: ModelVersion) -> None:
    services.configure_version(version=v1, max_replicas=4, replicas=3, by=services.SYSTEM)
    assert not services.autoscale(version_id=v1.pk, replicas=0)
    assert services.autoscale(version_id=v1.pk, replicas=1)


def test_a_version_without_bounds_is_not_autoscaled(v1: ModelVersion) -> None:
    assert not services.autoscale(version_id=v1.pk, replicas=2)
    assert not services.autoscale(version_id=v1.pk + 1, replicas=2)
    assert ModelVersion.objects.get().replicas == 1


def test_autoscaling_gives_way_to_a_person_who_scaled_meanwhile(v1: ModelVersion) -> None:
    services.configure_version(version=v1, max_replicas=8, replicas=2, by=services.SYSTEM)
    services.configure_version(version=v1, replicas=6, by=services.SYSTEM)
    assert not services.autoscale(version_id=v1.pk, replicas=3, seen=2)
    assert ModelVersion.objects.get().replicas == 6
    assert services.autoscale(version_id=v1.pk, replicas=7, seen=6)


@pytest.mark.parametrize(
    "row",
    [
        {"min_replicas": 3, "max_replicas": 2, "replicas": 2},
        {"min_replicas": 2, "max_replicas": 4, "replicas": 1},
        {"max_replicas": 4, "replicas": 5},
        {"batching": "static", "max_batch_size": None},
    ],
)
def test_the_database_holds_what_concerns_several_columns(
    v1: ModelVersion, row: dict[str, Any]
) -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        ModelVersion.objects.update(**row)
