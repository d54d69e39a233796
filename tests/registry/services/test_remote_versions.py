"""Versions whose model lives behind HTTP: what is registered, and what is kept from everybody."""

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db import connection
from pytest_django.fixtures import Settings

from core.errors import BadRequest
from registry import services
from registry.artifacts.artifact_store import ArtifactStore
from registry.following.reading import build_snapshot, version_spec
from registry.models import AuditEntry, Model, ModelVersion
from registry.security.sealing import Unsealable, seal, unseal
from serving.cluster.remote_versions import secret_fields
from tests.registry.conftest import BY, Api

SECRET = "s3cr3t-of-the-model"
URL = "http://127.0.0.1:8001/v2/models/iris"
BODY: dict[str, Any] = {
    "version": "far",
    "runtime": "remote",
    "url": URL,
    "protocol": "open-inference",
    "secret": SECRET,
    "timeout_ms": 2000,
}
VERSIONS = "models/svm/versions/"


@pytest.fixture(autouse=True)
def listed(settings: Settings) -> None:
    settings.CLIPPER_REMOTE_HOSTS = "127.0.0.1:8001"


def dump() -> str:
    """Everything that the database holds, as text."""
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        assert "registry_modelversion" in tables
        rows = []
        for table in tables:
            cursor.execute(f'SELECT * FROM "{table}"')
            rows += cursor.fetchall()
    return repr(rows)


def test_its_configuration_is_its_artifact(manager: Api, svm: Model) -> None:
    answer = manager("post", VERSIONS, BODY)
    assert answer.status_code == 201, answer.content
    told = answer.json()
    assert (told["runtime"], told["has_secret"], told["remote"]["url"]) == ("remote", True, URL)
    artifact = ArtifactStore.default().path_of(told["digest"]).read_bytes()
    assert json.loads(artifact) == told["remote"]
    assert told["remote"]["timeout_ms"] == 2000
    assert told["size"] == len(artifact)


def test_nobody_is_shown_the_secret_again(
    manager: Api, svm: Model, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    created = manager("post", VERSIONS, BODY)
    version = svm.versions.get()
    changed = manager("patch", f"{VERSIONS}far", {"secret": SECRET + "-2"})
    seen = [
        created.content.decode(),
        changed.content.decode(),
        manager("get", f"{VERSIONS}far").content.decode(),
        manager("get", VERSIONS).content.decode(),
        manager("get", "audit/").content.decode(),
        caplog.text,
        dump(),
        repr(build_snapshot()),
        ArtifactStore.default().path_of(version.digest).read_text(),
    ]
    assert created.status_code == 201
    assert changed.status_code == 200
    assert [text for text in seen if SECRET in text] == []
    assert all(seen[index] for index in (0, 1, 2, 3, 4, 6, 7, 8))
    changes = [entry.changes for entry in AuditEntry.objects.filter(kind="model version")]
    assert ["•••", "•••"] in [change.get("secret") for change in changes]


def test_the_replica_gets_it_with_the_operator_s_list(manager: Api, svm: Model) -> None:
    manager("post", VERSIONS, BODY)
    version = svm.versions.get()
    spec = version_spec(version)
    assert secret_fields(spec, sealed=version.secret) == {
        "remote_hosts": "127.0.0.1:8001",
        "secret": SECRET,
    }
    manager("patch", f"{VERSIONS}far", {"secret": ""})
    version.refresh_from_db()
    assert secret_fields(spec, sealed=version.secret)["secret"] == ""


def test_a_secret_kept_under_another_key_says_so(settings: Settings) -> None:
    sealed = seal(SECRET)
    assert unseal(sealed) == SECRET
    assert seal(SECRET) != sealed
    settings.CLIPPER_CLUSTER_SECRET = "another" * 8
    with pytest.raises(Unsealable, match="set it again"):
        unseal(sealed)
    with pytest.raises(Unsealable):
        unseal(SECRET)


@pytest.mark.parametrize(
    "changes",
    [
        {"url": "http://10.0.0.1/v2/models/a"},
        {"url": "http://169.254.169.254/v2/models/a"},
        {"url": "http://127.0.0.1:8002/v2/models/a"},
        {"url": "http://8.8.8.8/v2/models/a"},
        {"url": "http://localhost:8002/v2/models/a"},
        {"url": "ftp://127.0.0.1:8001/"},
        {"url": "http://127.0.0.1:8001/predict"},
        {"url": 7},
        {"protocol": "grpc"},
        {"timeout_ms": 0},
        {"template": {"a": 1}},
        {"runtime": "sklearn"},
        {"secret": 5551234},
        {"secret": "5551234\r\nX: y"},
        {"replicas": -1},
    ],
)
def test_what_is_wrong_is_named_and_registers_nothing(
    manager: Api, svm: Model, changes: dict[str, Any]
) -> None:
    answer = manager("post", VERSIONS, BODY | changes)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(f"{next(iter(changes))}: ")
    assert "5551234" not in answer.content.decode()
    assert not svm.versions.exists()


def test_without_a_list_nothing_is_asked_anywhere(
    manager: Api, svm: Model, settings: Settings
) -> None:
    settings.CLIPPER_REMOTE_HOSTS = ""
    for url in (URL, "https://model.example.com/v2/models/a"):
        answer = manager("post", VERSIONS, BODY | {"url": url})
        assert answer.status_code == 400
        assert "CLIPPER_REMOTE_HOSTS" in answer.json()["error"]


def test_a_name_that_leads_inside_is_refused_at_the_upload(
    manager: Api, svm: Model, settings: Settings
) -> None:
    settings.CLIPPER_REMOTE_HOSTS = "localhost"
    answer = manager("post", VERSIONS, BODY | {"url": "http://localhost:8001/v2/models/a"})
    assert answer.status_code == 400
    assert "it has to be in CLIPPER_REMOTE_HOSTS as an address" in answer.json()["error"]
    settings.CLIPPER_REMOTE_HOSTS = "127.0.0.0/8, ::1"
    answer = manager("post", VERSIONS, BODY | {"url": "http://localhost:8001/v2/models/a"})
    assert answer.status_code == 201, answer.content


def test_other_runtimes_take_a_file_and_no_url(manager: Api, svm: Model) -> None:
    answer = manager.upload("svm", version="1", runtime="sklearn")
    assert (answer.status_code, "artifact" in answer.json()["error"]) == (400, True)
    file = SimpleUploadedFile("a.skops", b"bytes")
    answer = manager.upload("svm", version="1", runtime="sklearn", url=URL, artifact=file)
    assert answer.json()["code"] == "unknown_field"


def test_a_file_is_no_remote_version(manager: Api, svm: Model) -> None:
    file = SimpleUploadedFile("a.json", json.dumps({"url": URL}).encode())
    answer = manager.upload("svm", artifact=file, version="1", runtime="remote")
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("runtime:")
    with pytest.raises(BadRequest, match="allow_pickle"):
        services.create_remote_version(
            model=svm,
            version="1",
            configuration={"url": URL, "protocol": "open-inference"},
            by=BY,
            allow_pickle=True,
        )


def test_only_a_remote_version_has_a_secret(manager: Api, svm: Model, v1: ModelVersion) -> None:
    answer = manager("patch", f"{VERSIONS}1", {"secret": "x"})
    assert answer.status_code == 400
    assert "isn't a remote version" in answer.json()["error"]
