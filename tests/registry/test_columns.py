"""A column that people set is set, shown and followed everywhere by being in its model."""

import io
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.db import models
from django.test import RequestFactory

from console.admin.base import with_the_rest
from registry import services
from registry.api.new_version import NewVersion
from registry.api.serializers import VersionOut
from registry.following.reading import application_spec, version_spec
from registry.models import Application, ModelVersion
from registry.services.applications import CHANGEABLE
from registry.services.versions import CONFIGURABLE
from tests.registry.conftest import BY, Api

# What no query needs to know.
NOT_IN_THE_SPEC = {"description", "capture_days", "capture_bytes"}
# Another value for each than the application `digits` has: a new column gets its row here.
OF_AN_APPLICATION: dict[str, Any] = {
    "description": "which digit",
    "policy": "exp3",
    "policy_params": {"eta": 0.5},
    "combine": "mean",
    "default_output": 7,
    "confidence_threshold": 0.5,
    "cascade_below": 0.75,
    "holdout_share": 0.1,
    "max_wrong_share": 0.05,
    "promise_confidence": 0.9,
    "public": True,
    "allowed_origins": "https://shop.example",
    "feedback_window_s": 60,
    "keep_outputs_s": 5,
    "keep_feedback_s": 3600,
    "keep_inputs": True,
    "capture_rate": 0.25,
    "capture_days": 3,
    "capture_bytes": 1 << 20,
    "capture_redact": "name, address",
    "cache": False,
    "cache_ttl_s": 30.0,
    "priority": "low",
    "loss": "expression",
    "loss_expression": "abs(label - output)",
    "loss_scale": 2.0,
    "missing_loss": None,
    "default_reward": 0.25,
    "lateness_price": 0.5,
    "cost_price": 0.01,
    "context_ttl_s": 600,
    "max_contexts": 9,
}
OF_A_VERSION: dict[str, Any] = {
    "replicas": 3,
    "min_replicas": 2,
    "max_replicas": 4,
    "batching": "static",
    "max_batch_size": 32,
    "batch_wait_ms": 2.5,
    "memory_limit_mb": 512,
    "threads": 2,
    "load_timeout_s": 300,
    "cost": 2.5,
    "notes": "wide",
}
CHANGED_TOGETHER = {"loss": {"loss_expression": "abs(label - output)"}}


def test_every_column_has_its_row() -> None:
    assert (set(OF_AN_APPLICATION), set(OF_A_VERSION)) == (set(CHANGEABLE), set(CONFIGURABLE))


@pytest.mark.parametrize("name", sorted(OF_AN_APPLICATION))
def test_a_column_of_an_application_is_changed_over_rest_and_shown(
    manager: Api, digits: Application, name: str
) -> None:
    value = OF_AN_APPLICATION[name]
    changes = CHANGED_TOGETHER.get(name, {}) | {name: value}
    assert manager("get", "applications/digits").json()[name] != value

    answer = manager("patch", "applications/digits", changes)

    assert answer.status_code == 200, answer.content
    assert manager("get", "applications/digits").json()[name] == value


@pytest.mark.parametrize("name", sorted(OF_AN_APPLICATION.keys() - NOT_IN_THE_SPEC))
def test_the_prediction_path_follows_each(digits: Application, name: str) -> None:
    before = getattr(application_spec(digits), name)
    changes = CHANGED_TOGETHER.get(name, {}) | {name: OF_AN_APPLICATION[name]}
    changed = services.update_application(application=digits, changes=changes, by=services.SYSTEM)
    assert getattr(application_spec(changed), name) != before


def test_all_columns_of_a_version_are_taken_by_an_upload_a_change_and_the_console(
    svm: Any, v1: ModelVersion
) -> None:
    created = services.create_version(
        model=svm, version="2", runtime="sklearn", artifact=io.BytesIO(b"2"), by=BY, **OF_A_VERSION
    )
    services.configure_version(version=v1, **OF_A_VERSION, by=services.SYSTEM)
    for version in (created, v1):
        shown = VersionOut(version).data
        assert {name: shown[name] for name in OF_A_VERSION} == OF_A_VERSION
    assert set(OF_A_VERSION) <= set(NewVersion().fields)
    spec = version_spec(v1)
    assert (spec.memory_limit_mb, spec.threads, spec.load_timeout_s) == (512, 2, 300)


@pytest.mark.parametrize(
    ("model", "columns"), [(Application, CHANGEABLE), (ModelVersion, CONFIGURABLE)]
)
@pytest.mark.django_db
def test_the_console_shows_them_all(
    model: type[models.Model], columns: tuple[str, ...], admin_user: Any
) -> None:
    request = RequestFactory().get("/")
    request.user = admin_user
    page = admin.site.get_model_admin(model)
    # Each parameter of a policy has a field of its own.
    shown = set(columns) - {"policy_params"}
    assert shown <= set(flatten_fieldsets(page.get_fieldsets(request, model())))


def test_every_column_that_people_set_says_what_it_is() -> None:
    columns = [*columns_of(Application, CHANGEABLE), *columns_of(ModelVersion, CONFIGURABLE)]
    silent = {column.name for column in columns if not column.help_text}
    # Their names say it.
    assert silent == {"description", "notes", "policy_params"}


def columns_of(model: type[models.Model], names: tuple[str, ...]) -> list[Any]:
    return [model._meta.get_field(name) for name in names]


def test_a_page_shows_a_column_that_no_group_has() -> None:
    groups = (("Bread", {"fields": (("slots", "heat"),)}),)
    assert with_the_rest(groups, columns=("slots", "heat")) == groups
    (_, more) = with_the_rest(groups, columns=("slots", "heat", "label"))
    assert more == ("More", {"fields": ("label",)})
