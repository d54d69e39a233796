"""Models, uploads and scaling over REST."""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from pytest_django.fixtures import Settings

from registry.following.reading import version_spec
from registry.models import Application, Model, ModelVersion
from registry.services import RouteRequest, replace_routes
from registry.versions.package_requirements import PYTHONS
from tests.registry.conftest import BY, AddVersion, Api, go_live

VERSION = "models/svm/versions/1"


def artifact(content: bytes = b"a model") -> SimpleUploadedFile:
    return SimpleUploadedFile("model.skops", content)


def stored(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("artifacts/*/*"))


def test_it_registers_a_model(manager: Api) -> None:
    answer = manager("post", "models/", {"name": "svm", "input_type": "doubles"})
    assert (answer.status_code, answer["Location"]) == (201, "/api/v1/models/svm")
    assert (answer.json()["live_version"], answer.json()["versions"]) == (None, [])


@pytest.mark.parametrize(
    "body",
    [
        {"name": "svm"},
        {"name": "S", "input_type": "doubles"},
        {"name": "svm", "input_type": "numbers"},
        [],
        "svm",
        {},
    ],
)
def test_a_wrong_model_is_refused(manager: Api, body: Any) -> None:
    answer = manager("post", "models/", body)
    assert answer.status_code == 400
    assert not Model.objects.exists()


def test_it_shows_the_live_version_and_all_versions(
    manager: Api, svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    body = manager("get", "models/svm").json()
    assert (body["live_version"], body["versions"]) == ("1", ["2", "1"])
    assert manager("get", "models/").json() == [body]


def test_it_describes_a_model(manager: Api, svm: Model) -> None:
    answer = manager("patch", "models/svm", {"description": "a plane"})
    assert answer.json()["description"] == "a plane"
    assert manager("patch", "models/svm", {}).json() == answer.json()
    assert manager("patch", "models/svm", {"input_type": "strings"}).status_code == 400


def test_deleting_a_model_takes_its_versions_history_and_artifacts(
    manager: Api,
    v1: ModelVersion,
    tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    go_live(v1)
    with django_capture_on_commit_callbacks(execute=True):
        assert manager("delete", "models/svm").status_code == 204
    assert manager("get", "models/svm").status_code == 404
    assert stored(tmp_path) == []


def test_a_routed_model_is_kept(manager: Api, digits: Application) -> None:
    answer = manager("delete", "models/svm")
    assert answer.status_code == 409
    assert answer.json()["details"] == {"applications": ["digits"]}


def test_it_takes_an_upload(manager: Api, svm: Model, tmp_path: Path) -> None:
    answer = manager.upload(
        "svm",
        version="1",
        runtime="sklearn",
        artifact=artifact(),
        device="gpu",
        replicas="3",
        notes="the first",
    )
    assert answer.status_code == 201, answer.content
    assert answer["Location"] == "/api/v1/models/svm/versions/1"
    body = answer.json()
    digest = hashlib.sha256(b"a model").hexdigest()
    expected = {
        **{"model": "svm", "version": "1", "runtime": "sklearn", "device": "gpu", "replicas": 3},
        **{"batch_wait_ms": "auto", "example": None, "signature": None, "notes": "the first"},
        **{"digest": digest, "size": 7, "remote": None, "has_secret": False, "live": False},
        **{"warm_until": None, "validated_at": None, "load_error": "", "created_by": None},
    }
    assert {name: body[name] for name in expected} == expected
    assert body["check"]["state"] == "pending"
    assert stored(tmp_path) == [digest]
    assert manager("get", "models/svm/versions/1").json()["digest"] == digest


def test_an_upload_may_say_what_its_inputs_are(manager: Api) -> None:
    manager("post", "models/", {"name": "churn", "input_type": "columns"})
    signature = {"inputs": [{"name": "age", "dtype": "float64", "nullable": False}]}
    answer = manager.upload(
        "churn",
        version="1",
        runtime="sklearn",
        artifact=artifact(),
        example='{"age": 31}',
        signature=json.dumps(signature),
    )
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert body["example"] == {"age": 31}
    assert body["signature"] == {"input_type": "columns"} | signature


@pytest.mark.parametrize(
    "said",
    [
        {"example": "[1, 2]"},
        {"example": "{"},
        {"example": '"' + "a" * 100_000 + '"'},
        {"example": '{"a": ' + "[" * 90 + "]" * 90 + "}"},
        {"example": '{"a": 1e400}'},
        {"example": '{"a": 1' + "0" * 5000 + "}"},
        {"example": '{"a": "\\ud800"}'},
        {"signature": json.dumps({"names": ["\N{SNOWMAN}" * 40_000]}, ensure_ascii=False)},
        {"signature": "[]"},
        {"signature": '{"inputs": [{}]}'},
        {"signature": '{"input_type": "json"}'},
        {"signature": '{"inputs": [{"name": "a", "nullable": false}]}', "example": "{}"},
    ],
)
def test_an_example_that_is_no_input_is_refused_at_the_upload(
    manager: Api, tmp_path: Path, said: dict[str, str]
) -> None:
    manager("post", "models/", {"name": "churn", "input_type": "columns"})
    answer = manager.upload("churn", version="1", runtime="sklearn", artifact=artifact(), **said)
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert answer.json()["details"]["fields"] == list(said)[-1:]
    assert stored(tmp_path) == []


def test_an_upload_says_what_of_the_model_is_asked(manager: Api, svm: Model) -> None:
    form = {"version": "1", "runtime": "sklearn", "method": "predict_proba"}
    assert manager.upload("svm", **form, artifact=artifact()).json()["method"] == "predict_proba"
    assert version_spec(ModelVersion.objects.get()).method == "predict_proba"


def test_an_upload_says_what_it_needs(manager: Api, svm: Model) -> None:
    other = next(text for text in PYTHONS if not sys.version.startswith(text))
    needs = {"requirements": "scikit-learn\nnumpy>=1.26", "python": other}
    form = {"version": "1", "runtime": "sklearn", **needs}
    body = manager.upload("svm", **form | {"requirements": "scikit-learn"}, artifact=artifact())
    assert body.status_code == 403  # another Python's packages are nobody's that is here
    body = manager.upload("svm", **form | {"python": ""}, artifact=artifact()).json()
    assert (body["requirements"], body["python"]) == (needs["requirements"], "")


@pytest.mark.parametrize(
    "change",
    [
        {"version": "V 1"},
        {"runtime": "fortran"},
        {"artifact": "text, not a file"},
        {"artifact": SimpleUploadedFile("empty", b"")},
        {"device": "tpu"},
        {"replicas": "many"},
        {"batch_wait_ms": "nan"},
        {"max_replicas": "257"},
        {"batching": "static"},
        {"allow_pickle": "perhaps"},
        {"method": "fit"},
        {"runtime": "command", "method": "predict"},
        {"requirements": "numpy==2.0\n-r other.txt"},
        {"python": "2.7"},
        {"runtime": "command", "requirements": "numpy"},
        {"runtime": "command", "requires_python": ">=3.8"},
        {"runtime": "remote"},
        {"colour": "blue"},
    ],
)
def test_a_wrong_upload_is_refused_and_nothing_is_kept(
    manager: Api, svm: Model, tmp_path: Path, change: dict[str, Any]
) -> None:
    form = {"version": "1", "runtime": "sklearn", "artifact": artifact()} | change
    answer = manager.upload("svm", **form)
    assert answer.status_code == 400, answer.content
    assert not ModelVersion.objects.exists()
    assert stored(tmp_path) == []


def test_an_upload_as_json_is_for_models_that_live_elsewhere(manager: Api, svm: Model) -> None:
    answer = manager("post", "models/svm/versions/", {"version": "1", "runtime": "sklearn"})
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
    assert "others come as a multipart form with their artifact" in answer.json()["error"]


def test_a_torn_form_is_malformed(manager: Api, svm: Model) -> None:
    answer = manager.client.post(
        "/api/v1/models/svm/versions/",
        b"no boundary here",
        content_type="multipart/form-data",
        headers=manager.headers,
    )
    assert (answer.status_code, answer.json()["code"]) == (400, "malformed")


def test_an_artifact_over_the_limit_is_too_large(
    manager: Api, svm: Model, settings: Settings, tmp_path: Path
) -> None:
    settings.CLIPPER_MAX_ARTIFACT_BYTES = 5
    answer = manager.upload("svm", version="1", runtime="sklearn", artifact=artifact())
    assert (answer.status_code, answer.json()["code"]) == (413, "body_too_large")
    assert stored(tmp_path) == []


def test_versions_are_immutable(manager: Api, v1: ModelVersion) -> None:
    answer = manager.upload("svm", version="1", runtime="sklearn", artifact=artifact())
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    for field in ("runtime", "device", "digest", "allow_pickle"):
        answer = manager("patch", "models/svm/versions/1", {field: "x"})
        assert (answer.status_code, answer.json()["code"]) == (400, "unknown_field")


def test_the_same_artifact_is_stored_once_and_kept_while_one_version_needs_it(
    manager: Api,
    add_version: AddVersion,
    tmp_path: Path,
    django_capture_on_commit_callbacks: Any,
) -> None:
    add_version("1", content=b"same")
    add_version("2", content=b"same")
    for version, left in (("1", 1), ("2", 0)):
        with django_capture_on_commit_callbacks(execute=True):
            assert manager("delete", f"models/svm/versions/{version}").status_code == 204
        assert len(stored(tmp_path)) == left


def test_a_version_in_use_is_kept(
    manager: Api, digits: Application, v1: ModelVersion, add_version: AddVersion
) -> None:
    go_live(v1)
    replace_routes(
        application=digits,
        routes=[RouteRequest(model="svm", version=add_version("pinned").version)],
        by=BY,
    )
    add_version("coming")
    manager("post", "models/svm/versions/coming/deploy")
    for version, why in (("1", "live"), ("pinned", "pinned"), ("coming", "being deployed")):
        answer = manager("delete", f"models/svm/versions/{version}")
        assert answer.status_code == 409
        assert why in answer.json()["error"]


def test_it_scales_the_live_version(manager: Api, v1: ModelVersion, v2: ModelVersion) -> None:
    go_live(v1)
    body = manager("post", "models/svm/scale", {"replicas": 4}).json()
    assert (body["version"], body["replicas"]) == ("1", 4)
    named = manager("post", "models/svm/scale", {"replicas": 0, "version": "2"}).json()
    assert (named["version"], named["replicas"]) == ("2", 0)


@pytest.mark.parametrize("replicas", [-1, 257, 1.5, "2", None, True, 10**30])
def test_a_wrong_number_of_replicas_is_refused(
    manager: Api, v1: ModelVersion, replicas: Any
) -> None:
    go_live(v1)
    assert manager("post", "models/svm/scale", {"replicas": replicas}).status_code == 400


@pytest.mark.parametrize(
    "path", ["models/tree", "models/tree/versions/", "models/svm/versions/9", "models/%00"]
)
def test_what_is_unknown_is_not_found(manager: Api, svm: Model, path: str) -> None:
    answer = manager("get", path)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


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
    file = artifact()
    answer = manager.upload("svm", version="1", runtime="sklearn", artifact=file, **form, **bounds)
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["batching"], body["max_batch_size"]) == ("static", 16)
    assert (body["batch_wait_ms"], body["threads"], body["memory_limit_mb"]) == (1.5, 1, None)
    assert (body["min_replicas"], body["max_replicas"], body["replicas"]) == (2, 3, 2)
