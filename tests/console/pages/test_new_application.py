"""A new application takes three fields, and leads to its first answer."""

import io
import json
import re

import pytest
import redis
from django import forms
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from pytest_django.fixtures import Settings

from console.pages.new_application import NewApplicationForm
from registry import services
from registry.models import ApiKey, Application, Model, ModelVersion, Release
from tests.console.people import staff

PAGE = "/admin/applications/new/"
SKOPS = b"PK schema.json"
MAY = ("add_application", "view_application", "add_apikey")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _what_it_needs(settings: Settings, tmp_path: object, server_redis: redis.Redis) -> None:
    settings.CLIPPER_ARTIFACTS = tmp_path


@pytest.fixture
def model() -> Model:
    """A model whose live version takes three numbers, and says so by an example."""
    model = services.create_model(name="svm", input_type="doubles", by=services.SYSTEM)
    version = services.create_version(
        model=model,
        version="1",
        runtime="sklearn",
        artifact=io.BytesIO(b"svm"),
        example="[5.1, 3.5, 1.4]",
        by=services.SYSTEM,
    )
    release = services.deploy(version=version, by=services.SYSTEM)
    services.begin_release(release=release)
    services.complete_release(release=release)
    ModelVersion.objects.filter(pk=version.pk).update(signature='{"inputs":[{"shape":[3]}]}')
    return model


def created(client: Client, model: Model | None, **fields: object) -> str:
    sent = {"name": "churn", "model": model.pk if model else "", "slo_ms": "80", **fields}
    return client.post(PAGE, sent, follow=True).content.decode()


def test_three_fields_make_an_application_that_asks_the_model(model: Model) -> None:
    page = created(staff(*MAY), model)

    application = Application.objects.get(name="churn")
    assert (application.input_type, application.slo.latency_ms) == ("doubles", 80.0)
    assert [route.model for route in application.routes.all()] == [model]
    assert "first-steps" in page
    assert "[5.1, 3.5, 1.4]" in page
    assert (page.count(">done<"), page.count(">to do<")) == (1, 4)


def test_a_file_becomes_a_model_that_goes_live(model: Model) -> None:
    """For those who may upload: others are asked for a model alone."""
    file = SimpleUploadedFile("svm.skops", SKOPS)
    rights = ("add_model", "add_modelversion", "change_model", "view_release")
    client = staff(*MAY, *rights)
    page = created(client, None, artifact=file)
    version = ModelVersion.objects.get(model__name="churn")
    assert (version.runtime, version.allow_pickle) == ("sklearn", False)
    assert Release.objects.get(version=version).state == "pending"
    assert "churn:1 is pending" in page
    assert [route.model for route in Application.objects.get().routes.all()] == [version.model]

    fields = {"name": "both", "artifact": SimpleUploadedFile("svm.skops", SKOPS)}
    assert "got a model and a file" in created(client, model, **fields)
    assert not Model.objects.filter(name="both").exists()
    assert "data-kinds" not in staff(*MAY, name="other").get(PAGE).content.decode()


def test_a_file_leaves_no_model_if_its_application_is_refused(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when somebody else has made one of this name since the form looked."""
    services.create_application(name="churn", input_type="doubles", slo_ms=50, by=services.SYSTEM)
    monkeypatch.setattr(NewApplicationForm, "clean", forms.Form.clean)
    client = staff(*MAY, "add_model", "add_modelversion", "change_model", "delete_model")
    file = SimpleUploadedFile("svm.skops", SKOPS)
    page = created(client, None, artifact=file, runtime="sklearn")
    assert "churn exists already" in page
    assert list(Model.objects.all()) == [model]


def test_a_key_is_made_once_and_stands_in_every_snippet(model: Model) -> None:
    client = staff(*MAY)
    created(client, model)

    page = client.post("/admin/applications/churn/start/").content.decode()
    (text,) = set(re.findall(r'data-testid="api-key">(clp_[\w-]+)<', page))

    key = ApiKey.objects.get(digest=ApiKey.digest_of(text))
    assert (key.scopes, key.bound) == ({"predict", "feedback"}, True)
    assert page.count(text) >= 6
    assert text not in client.get("/admin/applications/churn/start/").content.decode()


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"name": "Not A Name"}, "lower-case"), ({"slo_ms": "0"}, "1"), ({"name": "taken"}, "exists")],
)
def test_a_mistake_is_named_and_makes_nothing(
    model: Model, fields: dict[str, str], expected: str
) -> None:
    services.create_application(name="taken", input_type="doubles", slo_ms=50, by=services.SYSTEM)
    page = created(staff(*MAY), model, **fields)

    assert 'data-testid="new-application"' in page
    assert expected in page
    assert Application.objects.count() == 1


def test_it_takes_the_permission(model: Model) -> None:
    assert staff("view_application").get(PAGE).status_code == 403
    services.create_application(name="churn", input_type="doubles", slo_ms=50, by=services.SYSTEM)
    viewer = staff("view_application", name="viewer")
    assert viewer.get("/admin/applications/churn/start/").status_code == 200
    assert viewer.post("/admin/applications/churn/start/").status_code == 403


def test_the_snippets_are_what_their_languages_read(model: Model) -> None:
    client = staff(*MAY)
    created(client, model)
    response = client.get("/admin/applications/churn/start/")
    snippets = dict(response.context["snippets"])

    compile(snippets["Python"], "snippet", "exec")
    (body,) = re.findall(r"JSON.stringify\((.*)\)", snippets["JavaScript"])
    assert json.loads(body) == {"input": [5.1, 3.5, 1.4]}
