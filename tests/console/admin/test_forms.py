"""The console's forms: what they refuse, and what only some people are offered."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from registry import services
from registry.models import ApiKey, Application, Model, ModelVersion, Release
from registry.services import Actor
from tests.console.people import staff
from tests.registry.conftest import go_live
from tests.registry.forms import version_fields

pytestmark = pytest.mark.django_db

UPLOAD = "/admin/registry/modelversion/add/"
RUNS = version_fields()


@pytest.fixture
def uploader() -> Client:
    """May upload versions, but not let them load pickle."""
    return staff("add_modelversion", "view_modelversion", "view_model")


def upload(svm: Model, **fields: Any) -> dict[str, Any]:
    return {
        "model": svm.pk,
        "version": "1",
        "runtime": "sklearn",
        "device": "cpu",
        **RUNS,
        "artifact": SimpleUploadedFile("svm.skops", b"PK schema.json"),
        **fields,
    }


def test_every_page_of_the_console_opens(owner: Client, v1: ModelVersion) -> None:
    services.create_application(name="digits", input_type="doubles", slo_ms=50, by=services.SYSTEM)
    go_live(v1)
    for kind in (Application, Model, ModelVersion, Release):
        listed = f"/admin/registry/{kind._meta.model_name}/"
        assert owner.get(listed, follow=True).status_code == 200
        opened = owner.get(f"{listed}{kind.objects.get().pk}/change/", follow=True)
        assert opened.status_code == 200
    assert owner.get("/admin/registry/apikey/", follow=True).status_code == 200
    assert owner.get("/admin/registry/apikey/add/").status_code == 200
    assert owner.get("/admin/selection/feedback/").status_code == 200


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        ("model/{}/rollback/", "svm has no earlier live version to roll back to."),
        ("model/{}/scale/", "svm has no live version; deploy one first."),
    ],
)
def test_an_operation_that_needs_a_deploy_first_is_refused_in_the_services_words(
    owner: Client, svm: Model, path: str, refusal: str
) -> None:
    answer = owner.get(f"/admin/registry/{path.format(svm.pk)}", follow=True)

    assert refusal in answer.content.decode()


def test_pickle_is_offered_only_to_those_who_may_allow_it(uploader: Client, svm: Model) -> None:
    assert 'name="allow_pickle"' not in uploader.get(UPLOAD).content.decode()

    uploader.post(UPLOAD, upload(svm, allow_pickle="on"))

    assert svm.versions.get().allow_pickle is False


@pytest.mark.parametrize(
    ("name", "content", "runtime", "said"),
    [
        ("model.zip", b"PK\3\4 m/MLmodel m/schema.json", "", "mlflow"),
        ("model", b"tree\nversion=v4", "", "lightgbm"),
        ("model.skops", b"CBM1", "", "catboost"),
        ("model.py", b"class Predictor", "", "python"),
        ("model.bin", b"garbage", "", "say its runtime: choose one."),
        ("model.bin", b"garbage", "sklearn", "model.bin is no artifact of sklearn: nothing"),
        ("model.cbm", b"CBM1", "xgboost", "no artifact of xgboost: it looks like one of catboost."),
        ("model.zip", b"PK\3\4 config.json", "torch", "it looks like one of transformers."),
    ],
)
def test_the_runtime_is_the_one_that_the_file_says(
    owner: Client, svm: Model, name: str, content: bytes, runtime: str, said: str
) -> None:
    file = SimpleUploadedFile(name, content)
    answer = owner.post(UPLOAD, upload(svm, runtime=runtime, artifact=file))
    if (made := svm.versions.first()) is not None:
        assert (answer.status_code, made.runtime) == (302, said)
    else:
        assert said in answer.content.decode()


def test_a_stored_version_changes_only_in_how_it_runs_and_its_notes(
    owner: Client, v1: ModelVersion
) -> None:
    form = {**RUNS, "replicas": 4, "notes": "better"}
    form |= {"runtime": "onnx", "version": "9", "digest": "0"}
    owner.post(f"/admin/registry/modelversion/{v1.pk}/change/", form)

    changed = ModelVersion.objects.get()
    assert (changed.replicas, changed.notes) == (4, "better")
    assert (changed.runtime, changed.version, changed.digest) == ("sklearn", "1", v1.digest)


def test_a_key_bound_to_an_application_asks_no_other(owner: Client, digits: Application) -> None:
    owner.post(
        "/admin/registry/apikey/add/",
        {"name": "app", "can_predict": "on", "applications": [digits.pk]},
    )

    key = digits.keys.get()
    assert (key.bound, key.scopes) == (True, frozenset({"predict"}))


def test_saving_an_old_form_doesnt_bring_a_revoked_key_back(owner: Client) -> None:
    key, _ = services.create_api_key(
        name="app", scopes=["predict"], by=Actor(user=None, label="a test")
    )
    services.revoke_api_key(key=key, by=services.SYSTEM)
    owner.post(f"/admin/registry/apikey/{key.pk}/change/", {"name": "renamed"})

    key.refresh_from_db()
    assert (key.name, key.is_active) == ("renamed", False)


def test_the_scope_manage_is_offered_only_to_superusers(owner: Client) -> None:
    url = "/admin/registry/apikey/add/"
    assert "can_manage" in owner.get(url).content.decode()

    clerk = staff("add_apikey", "change_apikey", "view_apikey")
    assert "can_manage" not in clerk.get(url).content.decode()
    clerk.post(url, {"name": "app", "can_predict": "on", "can_manage": "on"})

    key = ApiKey.objects.get()
    assert key.scopes == frozenset({"predict"})
    clerk.post(f"/admin/registry/apikey/{key.pk}/change/", {"name": "app", "can_manage": "on"})
    key.refresh_from_db()
    assert key.scopes == frozenset({"predict"})


def test_a_superuser_makes_a_join_token_that_does_nothing_else(owner: Client) -> None:
    url = "/admin/registry/apikey/add/"
    # The rights of a new form are ticked already: they don't count.
    form = {"name": "gpus", "can_predict": "on", "can_feedback": "on", "hosts": "3"}
    mixed = owner.post(url, {**form, "can_manage": "on"}).content.decode()
    assert "Expected no other right" in mixed
    assert not ApiKey.objects.exists()

    page = owner.post(url, form, follow=True).content.decode()

    key = ApiKey.objects.get()
    assert (key.scopes, key.joins) == (frozenset({"join"}), 3)
    assert key.expires_at is not None
    assert "clipper worker --join http" in page


def test_nobody_but_a_superuser_makes_a_join_token(owner: Client) -> None:
    url = "/admin/registry/apikey/add/"
    clerk = staff("add_apikey", "change_apikey", "view_apikey")
    assert 'name="hosts"' in owner.get(url).content.decode()
    assert 'name="hosts"' not in clerk.get(url).content.decode()

    clerk.post(url, {"name": "gpus", "can_predict": "on", "hosts": "3"})

    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("key", ["abc", "999", "9" * 30])
@pytest.mark.parametrize(
    "path",
    [
        "apikey/{}/revoke/",
        "model/{}/rollback/",
        "model/{}/scale/",
        "model/{}/upload/",
        "modelversion/{}/deploy/",
    ],
)
def test_an_operation_on_a_row_that_doesnt_exist_is_not_found(
    owner: Client, path: str, key: str
) -> None:
    assert owner.get(f"/admin/registry/{path.format(key)}").status_code == 404
