"""The rule that names follow, and the names that are kept free."""

import pytest
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import SimpleUploadedFile

from core.names import RESERVED, RESERVED_VERSIONS, validate_name
from registry.following.reading import build_snapshot
from registry.models import ModelVersion
from tests.registry.conftest import Api, go_live


@pytest.mark.parametrize("name", ["a", "0", "a_b", "a-b_c9", "1__2"])
def test_underscores_and_hyphens_are_inner_characters(name: str) -> None:
    validate_name(name)
    for odd in (
        f"_{name}",
        f"{name}_",
        f"-{name}",
        f"{name}\n",
        name + "A",
        f"{name}:1",
        f"{name}/b",
    ):
        with pytest.raises(ValidationError):
            validate_name(odd)


@pytest.mark.django_db
def test_names_with_underscores_work_in_every_path(manager: Api) -> None:
    created = manager("post", "models/", {"name": "my_model", "input_type": "doubles"})
    assert created.status_code == 201
    body = {
        "name": "my_app",
        "input_type": "doubles",
        "slo_ms": 50,
        "routes": [{"model": "my_model"}],
    }
    assert manager("post", "applications/", body).status_code == 201
    file = SimpleUploadedFile("a", b"artifact")
    uploaded = manager.upload("my_model", version="v_1", runtime="sklearn", artifact=file)
    assert uploaded.status_code == 201
    go_live(ModelVersion.objects.get())
    for path in ("applications/my_app", "models/my_model/versions/v_1"):
        assert manager("get", f"{path}/").status_code == 200
    assert list(build_snapshot().versions_by_arm) == ["my_model:v_1"]


@pytest.mark.django_db
def test_reserved_names_are_refused(manager: Api) -> None:
    for name in sorted(RESERVED):
        body = {"name": name, "input_type": "doubles", "slo_ms": 50}
        refused = manager("post", "applications/", body)
        assert (refused.status_code, refused.json()["details"].keys()) == (400, {"fields"})
    manager("post", "models/", {"name": "svm", "input_type": "doubles"})
    for name in sorted(RESERVED_VERSIONS):
        file = SimpleUploadedFile("a", b"artifact")
        refused = manager.upload("svm", version=name, runtime="sklearn", artifact=file)
        assert (refused.status_code, list(refused.json()["details"]["fields"])) == (
            400,
            ["version"],
        )
