"""Settings of versions and of applications' answers, on their pages of the console."""

from typing import Any

import pytest
from django.test import Client

from registry import services
from registry.models import Model, ModelVersion
from tests.registry.conftest import go_live
from tests.registry.forms import version_fields

pytestmark = pytest.mark.django_db


def page(version: ModelVersion) -> str:
    return f"/admin/registry/modelversion/{version.pk}/change/"


form = version_fields


def test_a_version_is_configured_on_its_page(owner: Client, v1: ModelVersion) -> None:
    fields = form(batching="static", max_batch_size=64, batch_wait_ms="2.5", min_replicas=1)
    answer = owner.post(page(v1), {**fields, "max_replicas": 4, "memory_limit_mb": 512})

    assert answer.status_code == 302
    kept = ModelVersion.objects.get()
    assert (kept.batching, kept.max_batch_size, kept.batch_wait_ms) == ("static", 64, 2.5)
    assert (kept.replica_bounds, kept.memory_limit_mb) == ((1, 4), 512)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        ({"batching": "static"}, "Expected 1 to 4096 with static batching"),
        ({"batch_wait_ms": "nan"}, "Enter a number."),
        ({"replicas": 5, "max_replicas": 4}, "Expected 1 to 4, the bounds of this version"),
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    owner: Client, v1: ModelVersion, fields: dict[str, Any], refusal: str
) -> None:
    answer = owner.post(page(v1), form(**fields))

    assert answer.status_code == 200
    assert refusal in answer.content.decode()
    assert ModelVersion.objects.get().max_batch_size is None


def test_saving_an_old_form_doesnt_undo_what_autoscaling_did(
    owner: Client, v1: ModelVersion
) -> None:
    services.configure_version(version=v1, max_replicas=4, by=services.SYSTEM)
    services.autoscale(version_id=v1.pk, replicas=3)
    owner.post(page(v1), form(max_replicas=4, notes="a word"))

    kept = ModelVersion.objects.get()
    assert (kept.notes, kept.replicas) == ("a word", 3)


def test_scaling_tells_the_bounds_and_keeps_to_them(
    owner: Client, v1: ModelVersion, svm: Model
) -> None:
    go_live(v1)
    services.configure_version(version=v1, min_replicas=2, max_replicas=4, by=services.SYSTEM)
    url = f"/admin/registry/model/{svm.pk}/scale/"
    assert "Autoscaling keeps 2 to 4" in owner.get(url).content.decode()
    refused = owner.post(url, {"replicas": 5})
    assert "less than or equal to 4" in refused.content.decode()
    owner.post(url, {"replicas": 4})

    assert ModelVersion.objects.get().replicas == 4
