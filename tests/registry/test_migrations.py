"""What was kept before a migration is kept after it."""

from __future__ import annotations

import pytest
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from registry.models import Application
from selection.policies import make_policy

BEFORE = [("registry", "0005_run_code")]


@pytest.mark.django_db(transaction=True)
def test_releases_get_the_names_of_what_they_are_about() -> None:
    executor = MigrationExecutor(connection)
    latest = executor.loader.graph.leaf_nodes()  # what hangs on them is undone, too
    executor.migrate(BEFORE)
    old = executor.loader.project_state(BEFORE).apps
    model = old.get_model("registry", "Model").objects.create(name="svm", input_type="doubles")
    versions = [
        old.get_model("registry", "ModelVersion").objects.create(
            model=model, version=name, runtime="sklearn", digest="0" * 64
        )
        for name in ("1", "2")
    ]
    old.get_model("registry", "Release").objects.create(
        model=model, version=versions[1], previous_version=versions[0], kind="deploy", state="live"
    )

    executor = MigrationExecutor(connection)
    executor.migrate(latest)
    new = executor.loader.project_state(latest).apps
    kept = new.get_model("registry", "Release").objects.get()
    assert (kept.model_name, kept.version_name) == ("svm", "2")
    assert kept.previous_version_name == "1"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("last", "parameter"),
    [("0018_keep_inputs", "importance"), ("0021_application_keep_feedback_s", "context_share")],
)
def test_an_application_that_sets_a_parameter_of_before_goes_on_without(
    last: str, parameter: str
) -> None:
    executor = MigrationExecutor(connection)
    latest = executor.loader.graph.leaf_nodes()  # what hangs on them is undone, too
    before = [("registry", last)]
    executor.migrate(before)
    old = executor.loader.project_state(before).apps.get_model("registry", "Application")
    old.objects.create(
        name="digits",
        input_type="doubles",
        policy="exp4",
        policy_params={"eta": 0.2, parameter: 1},
    )

    executor = MigrationExecutor(connection)
    executor.migrate(latest)
    kept = Application.objects.get()
    assert kept.policy_params == {"eta": 0.2}
    assert make_policy(kept.policy, kept.policy_params).name == "exp4"
