"""PUT: an application and a model become what is declared, however often it is said."""

from typing import Any

import pytest

from registry.models import Application, AuditEntry, Model, ModelVersion
from tests.registry.conftest import Api, make_key

CHURN = {"input_type": "doubles", "slo_ms": 100, "default_output": 0, "routes": [{"model": "svm"}]}


def put(api: Api, path: str, body: Any, **headers: str) -> Any:
    return api(
        "put", path, body, headers={name.replace("_", "-"): v for name, v in headers.items()}
    )


def test_it_creates_an_application_that_is_not_there(manager: Api, v1: ModelVersion) -> None:
    answer = put(manager, "applications/churn", CHURN | {"slo_target": 0.9, "slo_window": "1h"})
    assert answer.status_code == 201, answer.content
    body = answer.json()
    assert (body["name"], body["default_output"]) == ("churn", 0)
    assert body["slo"] == {"latency_ms": 100.0, "target": 0.9, "window": "1h"}
    assert [route["model"] for route in body["routes"]] == ["svm"]
    assert manager("get", "applications/churn").json() | {"changed": body["changed"]} == body


def test_a_second_time_it_changes_nothing_and_says_so(manager: Api, v1: ModelVersion) -> None:
    put(manager, "applications/churn", CHURN)
    before = manager("get", "applications/churn")
    entries = AuditEntry.objects.count()
    answer = put(manager, "applications/churn", CHURN)
    assert (answer.status_code, answer.json()["changed"]) == (200, [])
    assert answer["ETag"] == before["ETag"]
    assert AuditEntry.objects.count() == entries


@pytest.mark.parametrize(
    ("said", "changed"),
    [
        ({"slo_ms": 50}, ["slo_ms"]),
        ({"slo_ms": 50, "description": "leavers"}, ["slo_ms", "description"]),
        ({"default_output": None}, ["default_output"]),
        ({"routes": [{"model": "svm", "weight": 2}]}, ["routes"]),
        ({"routes": []}, ["routes"]),
        ({"policy": "exp3"}, ["policy"]),
    ],
)
def test_it_changes_what_differs_and_nothing_else(
    manager: Api, v1: ModelVersion, said: dict[str, Any], changed: list[str]
) -> None:
    before = put(manager, "applications/churn", CHURN).json()
    answer = put(manager, "applications/churn", said)
    assert (answer.status_code, sorted(answer.json()["changed"])) == (200, sorted(changed))
    after = answer.json()
    kept = {"input_type", "combine", "priority", "cache"}
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert put(manager, "applications/churn", said).json()["changed"] == []


def test_what_cannot_all_be_done_is_not_done_in_part(manager: Api, v1: ModelVersion) -> None:
    put(manager, "applications/churn", CHURN)
    answer = put(manager, "applications/churn", {"slo_ms": 5, "routes": [{"model": "nobody"}]})
    assert answer.status_code == 404
    assert manager("get", "applications/churn").json()["slo"]["latency_ms"] == 100.0


def test_another_input_type_is_a_conflict(manager: Api, v1: ModelVersion) -> None:
    put(manager, "applications/churn", CHURN)
    for path in ("applications/churn", "models/svm"):
        answer = put(manager, path, {"input_type": "strings"})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "takes doubles" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "body", "needed"),
    [
        ("applications/churn", {"slo_ms": 5}, "input_type"),
        ("applications/churn", {"input_type": "doubles"}, "slo_ms"),
        ("models/churn", {"description": "x"}, "input_type"),
    ],
)
def test_a_new_one_says_what_it_needs(manager: Api, path: str, body: Any, needed: str) -> None:
    answer = put(manager, path, body)
    assert answer.status_code == 400
    assert needed in answer.json()["error"]
    assert not Application.objects.exists()
    assert not Model.objects.exists()


def test_a_model_is_created_described_and_left_alone(manager: Api) -> None:
    said = {"input_type": "doubles", "description": "who leaves"}
    created = put(manager, "models/churn", said)
    assert (created.status_code, created.json()["description"]) == (201, "who leaves")
    again = put(manager, "models/churn", said)
    assert (again.status_code, again.json()["changed"]) == (200, [])
    other = put(manager, "models/churn", {"description": "who stays"})
    assert (other.status_code, other.json()["changed"]) == (200, ["description"])
    assert other.json()["input_type"] == "doubles"


def test_if_match_holds_for_it(manager: Api) -> None:
    said = {"input_type": "doubles"}
    assert put(manager, "models/churn", said, if_match='"1"').status_code == 412
    assert put(manager, "models/churn", said, if_match="*").status_code == 412
    tag = put(manager, "models/churn", said)["ETag"]
    assert put(manager, "models/churn", {"description": "a"}, if_match=tag).status_code == 200
    assert put(manager, "models/churn", {"description": "b"}, if_match=tag).status_code == 412


def test_a_bound_key_creates_nothing_and_changes_its_own(manager: Api, v1: ModelVersion) -> None:
    put(manager, "applications/churn", CHURN)
    own = Api(key=make_key(applications=[Application.objects.get(name="churn")]))
    assert put(own, "applications/other", CHURN).status_code == 404
    assert put(own, "models/other", {"input_type": "doubles"}).status_code == 404
    assert put(own, "applications/churn", {"description": "mine"}).status_code == 200
    assert put(own, "models/svm", {"description": "mine"}).status_code == 200
