"""A remote version in the console: registered by a form, shown without its secret."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from registry.models import Model, ModelVersion
from registry.security.sealing import unseal

UPLOAD = "/admin/registry/modelversion/add/"
SECRET = "s3cr3t-of-the-model"


@pytest.fixture(autouse=True)
def listed(settings: Settings) -> None:
    settings.CLIPPER_REMOTE_HOSTS = "127.0.0.1:8001"


def form(model: Model, **fields: Any) -> dict[str, Any]:
    return {
        "model": model.pk,
        "version": "far",
        "runtime": "remote",
        "url": "http://127.0.0.1:8001/predict",
        "protocol": "json",
        "template": '{"rows": "$inputs"}',
        "output": "answers",
        "credential": SECRET,
        "device": "cpu",
        "replicas": "1",
        "batching": "aimd",
        "threads": "1",
        "load_timeout_s": "120",
        "cost": "0",
    } | fields


def test_the_form_registers_one(admin_client: Client, svm: Model) -> None:
    answer = admin_client.post(UPLOAD, form(svm, timeout_ms="1500", example="[1, 2]"))
    assert answer.status_code == 302, answer.content.decode()
    version = ModelVersion.objects.get()
    assert version.remote is not None
    assert (version.runtime, version.example, unseal(version.secret)) == (
        "remote",
        "[1, 2]",
        SECRET,
    )
    assert version.remote["template"] == {"rows": "$inputs"}
    assert version.remote["timeout_ms"] == 1500


def test_its_page_says_where_it_lives_and_not_with_what(admin_client: Client, svm: Model) -> None:
    admin_client.post(UPLOAD, form(svm))
    version = ModelVersion.objects.get()
    pages = [
        f"/admin/registry/modelversion/{version.pk}/change/",
        f"/admin/registry/modelversion/{version.pk}/history/",
        "/admin/registry/modelversion/",
        "/admin/timeline/",
        "/admin/",
    ]
    shown = [admin_client.get(page).content.decode() for page in pages]
    assert "json at http://127.0.0.1:8001/predict" in shown[0]
    assert "with a secret" in shown[0]
    assert [text for text in shown if SECRET in text or version.secret in text] == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"url": ""}, "This field is required."),
        ({"template": "{"}, "Enter a valid JSON."),
        ({"runtime": "sklearn"}, "This field is required."),
        (
            {"artifact": SimpleUploadedFile("a", b"b")},
            "Expected none with the runtime remote.",
        ),
    ],
)
def test_a_form_that_is_wrong_is_shown_again_without_the_secret(
    admin_client: Client, svm: Model, fields: dict[str, Any], expected: str
) -> None:
    answer = admin_client.post(UPLOAD, form(svm, **fields))
    assert answer.status_code == 200
    text = answer.content.decode()
    assert expected in text
    assert SECRET not in text
    assert not svm.versions.exists()


def test_what_the_operator_forbids_is_refused_with_the_reason(
    admin_client: Client, svm: Model
) -> None:
    answer = admin_client.post(UPLOAD, form(svm, url="http://10.0.0.1/x"), follow=True)
    assert "CLIPPER_REMOTE_HOSTS" in answer.content.decode()
    assert not svm.versions.exists()
