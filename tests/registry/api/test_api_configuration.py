"""Changing how a version runs, and how an application is answered, over REST."""

from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from registry.models import Model, ModelVersion
from tests.registry.conftest import Api

VERSION = "models/svm/versions/1"


def upload(caller: Api, **form: Any) -> Any:
    file = SimpleUploadedFile("model.skops", b"a model")
    return caller.upload("svm", version="1", runtime="sklearn", artifact=file, **form)


def test_auto_and_null_give_it_back_to_clipper(manager: Api, v1: ModelVersion) -> None:
    nullable = ("max_batch_size", "min_replicas", "max_replicas", "memory_limit_mb")
    manager("patch", VERSION, dict.fromkeys(nullable[:3], 3) | {"memory_limit_mb": 512})
    body = manager("patch", VERSION, dict.fromkeys(nullable)).json()
    assert [body[name] for name in nullable] == [None] * 4
    for given, shown in ((0, 0.0), ("auto", "auto"), (7, 7.0), (None, "auto")):
        assert manager("patch", VERSION, {"batch_wait_ms": given}).json()["batch_wait_ms"] == shown


@pytest.mark.parametrize(
    "change",
    [
        {"batching": "magic"},
        {"batching": None},
        {"max_batch_size": "5"},
        {"max_batch_size": 10**30},
        {"batch_wait_ms": "soon"},
        {"batch_wait_ms": True},
        {"threads": True},
        {"min_replicas": 2},
        {"notes": 5},
    ],
)
def test_a_wrong_value_is_refused_at_its_field(
    manager: Api, v1: ModelVersion, change: dict[str, Any]
) -> None:
    answer = manager("patch", VERSION, change)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert list(answer.json()["details"]["fields"]) == list(change)


def test_an_upload_says_how_it_runs(manager: Api, svm: Model) -> None:
    form = {"batching": "static", "max_batch_size": "16", "batch_wait_ms": "1.5", "threads": ""}
    bounds = {"min_replicas": "2", "max_replicas": "3", "memory_limit_mb": ""}
    answer = upload(manager, **form, **bounds)
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["batching"], body["max_batch_size"]) == ("static", 16)
    assert (body["batch_wait_ms"], body["threads"], body["memory_limit_mb"]) == (1.5, 1, None)
    assert (body["min_replicas"], body["max_replicas"], body["replicas"]) == (2, 3, 2)


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("batch_wait_ms", "soon"),
        ("batch_wait_ms", "nan"),
        ("max_replicas", "257"),
        ("batching", "static"),
    ],
)
def test_a_wrong_value_of_an_upload_is_refused(
    manager: Api, svm: Model, field: str, text: str
) -> None:
    answer = upload(manager, **{field: text})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert not ModelVersion.objects.exists()
