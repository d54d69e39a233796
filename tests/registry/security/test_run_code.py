"""Code that an artifact brings runs by permission alone, whichever way it comes in."""

import io
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client

from core.errors import Forbidden
from registry import services
from registry.models import ApiKey, Application, Model, ModelVersion, Route
from registry.services import Actor
from tests.registry.conftest import BY, AddVersion, Api, go_live, link, make_key, signed_in
from tests.registry.forms import application_fields

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


def pinned(version: str = "code") -> dict[str, Any]:
    return {"model": "svm", "version": version}


def test_the_first_pin_on_code_asks_for_it_and_later_ones_do_not(
    manager: Api, digits: Application, svm: Model
) -> None:
    version = stored(svm)
    new = {"name": "n", "input_type": "doubles", "slo_ms": 50, "routes": [pinned()]}
    for method, path, body in (
        ("put", "applications/digits/routes", [pinned()]),
        ("post", "applications/", new),
    ):
        refused = manager(method, path, body)
        assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
        assert refused.json()["details"]["permission"] == "registry.run_code"
    with pytest.raises(Forbidden, match="run_code"):
        link(digits, model=svm, version=version, by=NOBODY)
    assert not Route.objects.filter(pinned_version=version).exists()
    assert not Application.objects.filter(name="n").exists()

    trusted = Api(key=make_key(can_run_code=True))
    assert trusted("put", "applications/digits/routes", [pinned()]).status_code == 200
    again = manager("put", "applications/digits/routes", [pinned() | {"weight": 2.0}])
    assert again.status_code == 200
    assert manager("post", "applications/", new).status_code == 201


def test_a_pin_on_data_or_on_checked_code_asks_for_nothing_more(
    manager: Api, digits: Application, svm: Model, add_version: AddVersion
) -> None:
    go_live(stored(svm))
    go_live(add_version("2"))
    add_version("3")
    for version in ("code", "3"):
        answer = manager("put", "applications/digits/routes", [pinned(version)])
        assert answer.status_code == 200


@pytest.mark.parametrize("may", [False, True])
def test_the_console_asks_for_it_at_the_pin(
    client: Client, digits: Application, svm: Model, may: bool
) -> None:
    version = stored(svm)
    (route,) = digits.routes.all()
    user = User.objects.create_user("ada", is_staff=True)
    codes = {"change_application", "change_route", "add_route", "view_model", "view_modelversion"}
    codes |= {"view_application", "view_route"} | ({"run_code"} if may else set())
    user.user_permissions.set(Permission.objects.filter(codename__in=codes))
    client.force_login(user)
    arm = {"model": svm.pk, "pinned_version": version.pk, "role": "arm", "weight": "1"}

    inline = {f"routes-0-{name}": value for name, value in arm.items()} | {
        "routes-TOTAL_FORMS": "1",
        "routes-INITIAL_FORMS": "1",
        "routes-0-id": route.pk,
        "routes-0-application": digits.pk,
        "slo-INITIAL_FORMS": "1",
        "slo-0-id": digits.slo.pk,
        "slo-0-application": digits.pk,
    }
    page = f"/admin/registry/application/{digits.pk}/change/"
    named = {"name": "digits", "input_type": "doubles", "policy": "exp3", "default_output": "-1"}
    answer = client.post(
        page, application_fields(**named, **inline, confirmed="1", reason="a trial")
    )
    assert answer.status_code == (302 if may else 200)
    assert may or "needs the permission registry.run_code" in answer.content.decode()
    assert Route.objects.filter(pinned_version=version).exists() == may


def test_a_key_passes_it_on_to_none_that_lacks_it(svm: Model) -> None:
    key, _ = services.create_api_key(name="k", scopes=["manage"], by=BY, can_run_code=True)
    assert Actor.of_key(key).may_run_code
    by = Actor(user=None, label="a superuser", may_grant_manage=True)
    with pytest.raises(Forbidden):
        services.create_api_key(name="l", scopes=["manage"], by=by, can_run_code=True)
    assert list(ApiKey.objects.all()) == [key]


def test_a_command_makes_such_a_key(db: None) -> None:
    call_command("create_api_key", "ci", "--scopes=manage", "--run-code", stdout=io.StringIO())
    assert ApiKey.objects.get(name="ci").can_run_code
