"""Code that an artifact brings runs by permission alone, whichever way it comes in."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from registry import services
from registry.errors import Forbidden
from registry.models import ApiKey, Model, ModelVersion
from registry.services import Actor
from tests.registry.conftest import BY, AddVersion, Api, go_live, make_key, signed_in

NOBODY = Actor(user=None, label="somebody")
CODE = b"class Predictor: ..."


def file() -> SimpleUploadedFile:
    return SimpleUploadedFile("predictor.py", CODE)


def stored(model: Model, *, version: str = "code", runtime: str = "python") -> ModelVersion:
    return services.create_version(
        model=model, version=version, runtime=runtime, artifact=io.BytesIO(CODE), by=BY
    )


@pytest.mark.parametrize(
    "kind", [{"runtime": "python"}, {"runtime": "command"}, {"allow_pickle": "true"}]
)
def test_every_artifact_that_runs_code_asks_for_it(
    manager: Api, svm: Model, kind: dict[str, Any]
) -> None:
    form = {"version": "1", "runtime": "sklearn", **kind}
    refused = manager.upload("svm", artifact=file(), **form)
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert refused.json()["details"]["permission"] == "registry.run_code"
    assert not svm.versions.exists()

    trusted = Api(key=make_key(can_run_code=True))
    assert trusted.upload("svm", artifact=file(), **form).status_code == 201


def test_data_asks_for_nothing_more(manager: Api, svm: Model) -> None:
    assert manager.upload("svm", version="1", runtime="sklearn", artifact=file()).status_code == 201


def test_staff_need_it_beside_the_permission_to_upload(svm: Model) -> None:
    user, api = signed_in(is_staff=True)
    codes = ("add_modelversion", "change_model", "view_model", "view_modelversion")
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    form = {"version": "1", "runtime": "python"}
    assert api.upload("svm", artifact=file(), **form).status_code == 403

    user.user_permissions.add(Permission.objects.get(codename="run_code"))
    assert api.upload("svm", artifact=file(), **form).status_code == 201


def test_the_first_deploy_of_code_asks_for_it_and_later_ones_do_not(
    manager: Api, svm: Model, add_version: AddVersion
) -> None:
    version = stored(svm)
    refused = manager("post", "models/svm/versions/code/deploy", {})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    with pytest.raises(Forbidden, match="run_code"):
        services.roll_back(model=svm, to=version, by=NOBODY)

    go_live(version)
    go_live(add_version("2"))
    assert manager("post", "models/svm/rollback", {"to": "code"}).status_code == 202


def test_a_key_passes_it_on_to_none_that_lacks_it(svm: Model) -> None:
    key, _ = services.create_api_key(name="k", scopes=["manage"], by=BY, can_run_code=True)
    assert Actor.of_key(key).may_run_code
    by = Actor(user=None, label="a superuser", may_grant_manage=True)
    lesser, _ = services.create_api_key(name="l", scopes=["manage"], by=by, can_run_code=True)
    assert not lesser.can_run_code


@pytest.mark.parametrize("option", ["--run-code", "--allow-pickle"])
def test_a_command_makes_such_a_key(db: None, option: str) -> None:
    call_command("create_api_key", "ci", "--scopes=manage", option, stdout=io.StringIO())
    assert ApiKey.objects.get(name="ci").can_run_code


@pytest.mark.django_db(transaction=True)
def test_who_could_load_pickle_may_run_code_after_the_migration() -> None:
    executor = MigrationExecutor(connection)
    latest = executor.loader.graph.leaf_nodes("registry")
    executor.migrate([("registry", "0004_selection_settings")])
    try:
        old = executor.loader.project_state([("registry", "0004_selection_settings")]).apps
        permission = Permission.objects.get(codename="allow_pickle")
        person = User.objects.create_user("grace")
        person.user_permissions.add(permission)
        group = Group.objects.create(name="modellers")
        group.permissions.add(permission)
        old.get_model("registry", "ApiKey").objects.create(
            name="ci", prefix="clp", digest="d", can_allow_pickle=True
        )
    finally:
        executor = MigrationExecutor(connection)
        executor.migrate(latest)

    assert User.objects.get(pk=person.pk).has_perm("registry.run_code")
    assert group.permissions.filter(codename="run_code").exists()
    assert ApiKey.objects.get(name="ci").can_run_code
    assert not Permission.objects.filter(codename="allow_pickle").exists()
