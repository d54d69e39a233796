"""Applications, their objective and their routes over REST."""

from typing import Any

import pytest

from registry.models import Application, Model, ModelVersion
from tests.registry.conftest import Api, go_live
from tests.registry.test_columns import OF_AN_APPLICATION

DIGITS = {"name": "digits", "input_type": "doubles", "slo_ms": 50}


def test_it_creates_an_application_with_everything(manager: Api, v1: ModelVersion) -> None:
    go_live(v1)
    routes = [{"model": "svm", "weight": 2}, {"model": "svm", "version": "1", "role": "arm"}]
    everything = OF_AN_APPLICATION | {"confidence_threshold": 0.0}
    body = DIGITS | everything | {"routes": routes}
    answer = manager("post", "applications/", body)
    assert answer.status_code == 201
    assert answer["Location"] == "/api/v1/applications/digits"
    shown = answer.json()
    expected = everything | {
        "has_default_output": True,
        "slo": {"latency_ms": 50.0, "target": 0.99, "window": "28d"},
        "routes": [
            {"model": "svm", "version": None, "live_version": "1", "role": "arm", "weight": 2.0},
            {"model": "svm", "version": "1", "live_version": "1", "role": "arm", "weight": 1.0},
        ],
    }
    assert {name: shown[name] for name in expected} == expected


@pytest.mark.parametrize("value", ["unknown", [1, 2], {"label": None}, 0, False, "é\u0000", None])
def test_a_default_output_is_any_json(manager: Api, value: Any) -> None:
    body = manager("post", "applications/", DIGITS | {"default_output": value}).json()
    assert (body["default_output"], body["has_default_output"]) == (value, True)


def test_an_unknown_field_is_refused_by_name(manager: Api) -> None:
    answer = manager("post", "applications/", DIGITS | {"slo": 5})
    assert answer.status_code == 400
    assert answer.json()["code"] == "unknown_field"
    assert "'slo'" in answer.json()["error"]
    assert answer.json()["details"]["fields"] == ["slo"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "Digits"),
        ("name", 5),
        ("name", "feedback"),
        ("input_type", "pixels"),
        ("slo_ms", "50"),
        ("slo_ms", 0),
        ("slo_ms", 10**400),
        ("policy", "exp5"),
        ("policy_params", {"eta": 2}),
        ("combine", "max"),
        ("confidence_threshold", 1.5),
        ("public", "yes"),
        ("feedback_window_s", 10**30),
        ("routes", ["svm"]),
        ("routes", [{"model": "svm", "weight": -1}]),
        ("routes", [{"model": "svm", "role": "shadow"}]),
        ("routes", [{"model": "svm"}, {"model": "svm"}]),
    ],
)
def test_a_wrong_field_is_refused_and_nothing_is_kept(
    manager: Api, svm: Model, field: str, value: Any
) -> None:
    answer = manager("post", "applications/", DIGITS | {field: value})
    assert answer.status_code == 400, answer.content
    assert set(answer.json()) == {"error", "code", "details"}
    assert not Application.objects.exists()


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({}, "a default output beside it"),
        ({"default_output": -1, "confidence_threshold": 0.5}, "no confidence_threshold beside it"),
        ({"default_output": -1, "max_wrong_share": 0.0}, "0.001 to 0.999"),
    ],
)
def test_a_promise_has_a_default_output_and_no_other_threshold(
    manager: Api, fields: dict[str, Any], why: str
) -> None:
    answer = manager("post", "applications/", DIGITS | {"max_wrong_share": 0.05} | fields)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith("max_wrong_share: ")
    assert why in answer.json()["error"]
    promise = {"max_wrong_share": 0.05, "default_output": None, "promise_confidence": 0.9}
    assert manager("post", "applications/", DIGITS | promise).status_code == 201
    refused = manager("patch", "applications/digits", {"confidence_threshold": 0.5})
    assert refused.status_code == 400
    assert manager("patch", "applications/digits", {"has_default_output": False}).status_code == 400


def test_a_taken_name_is_a_conflict(manager: Api, digits: Application) -> None:
    answer = manager("post", "applications/", DIGITS)
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


@pytest.mark.parametrize("route", [{"model": "tree"}, {"model": "svm", "version": "9"}])
def test_a_route_to_nothing_is_not_found_and_nothing_is_kept(
    manager: Api, svm: Model, route: dict[str, str]
) -> None:
    answer = manager("post", "applications/", DIGITS | {"routes": [route]})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert not Application.objects.exists()


def test_a_route_to_a_model_of_another_input_type_is_refused(manager: Api, svm: Model) -> None:
    body = DIGITS | {"input_type": "strings", "routes": [{"model": "svm"}]}
    answer = manager("post", "applications/", body)
    assert answer.status_code == 400
    assert "svm takes doubles" in answer.json()["error"]


def test_it_lists_applications_in_pages(manager: Api) -> None:
    for name in ("c", "a", "b"):
        manager("post", "applications/", DIGITS | {"name": name})
    everything = manager("get", "applications/")
    assert [application["name"] for application in everything.json()] == ["a", "b", "c"]
    page = manager("get", "applications/?limit=1&offset=1")
    assert [application["name"] for application in page.json()] == ["b"]
    assert page["X-Total-Count"] == "3"


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "offset=-1", "limit="])
def test_a_wrong_page_is_refused(manager: Api, query: str) -> None:
    assert manager("get", f"applications/?{query}").status_code == 400


def test_listing_costs_the_same_however_many_there_are(
    manager: Api, digits: Application, django_assert_max_num_queries: Any
) -> None:
    for name in ("a", "b", "c"):
        manager("post", "applications/", DIGITS | {"name": name, "routes": [{"model": "svm"}]})
    with django_assert_max_num_queries(8):
        assert len(manager("get", "applications/").json()) == 4


def test_a_default_output_can_be_removed(manager: Api, digits: Application) -> None:
    answer = manager("patch", "applications/digits", {"has_default_output": False})
    assert answer.json()["has_default_output"] is False
    both = {"has_default_output": False, "default_output": 1}
    assert manager("patch", "applications/digits", both).status_code == 400


def test_a_new_policy_starts_with_its_own_defaults(manager: Api, digits: Application) -> None:
    manager("patch", "applications/digits", {"policy_params": {"eta": 0.5}})
    body = manager("patch", "applications/digits", {"policy": "static"}).json()
    assert (body["policy"], body["policy_params"]) == ("static", {})


@pytest.mark.parametrize("change", [{"name": "letters"}, {"input_type": "strings"}])
def test_what_clients_rely_on_cannot_change(
    manager: Api, digits: Application, change: dict[str, Any]
) -> None:
    answer = manager("patch", "applications/digits", change)
    assert (answer.status_code, answer.json()["code"]) == (400, "unknown_field")


def test_it_deletes_an_application_and_leaves_its_models(manager: Api, digits: Application) -> None:
    answer = manager("delete", "applications/digits")
    assert (answer.status_code, answer.content) == (204, b"")
    assert manager("get", "applications/digits").status_code == 404
    assert manager("get", "models/svm").status_code == 200


def test_a_change_of_an_application_may_hold_its_objective(
    manager: Api, digits: Application
) -> None:
    wanted = {"slo_ms": 20, "slo_target": 0.9, "slo_window": "1h", "description": "faster"}
    body = manager("patch", "applications/digits", wanted).json()
    assert body["slo"] == {"latency_ms": 20.0, "target": 0.9, "window": "1h"}
    assert body["description"] == "faster"
    body = manager("patch", "applications/digits", {"slo_ms": 30}).json()
    assert body["slo"] == {"latency_ms": 30.0, "target": 0.9, "window": "1h"}


@pytest.mark.parametrize(
    "change",
    [
        {"slo_ms": 0.5},
        {"slo_target": 1.1},
        {"slo_window": "2h"},
        {"latency_ms": 20},
        {"combine": "magic"},
        {"loss": "magic"},
        {"loss": "expression"},
        {"loss_expression": "label - price"},
        {"loss_expression": "output" + "+1" * 300},
        {"loss_scale": None},
        {"missing_loss": 1.5},
        {"default_reward": "0.5"},
        {"cost_price": 1e7},
        {"context_ttl_s": 59},
        {"max_contexts": 1.5},
    ],
)
def test_one_with_a_wrong_value_changes_nothing(
    manager: Api, digits: Application, change: dict[str, Any]
) -> None:
    refused = manager("patch", "applications/digits", {"description": "faster"} | change)
    assert refused.status_code == 400
    body = manager("get", "applications/digits").json()
    assert (body["description"], body["slo"]["latency_ms"]) == ("", 50.0)


def test_it_takes_the_permission_to_change_the_objective(editor: Api, digits: Application) -> None:
    refused = editor("patch", "applications/digits", {"description": "faster", "slo_ms": 20})
    assert refused.status_code == 403
    assert refused.json()["details"] == {"permission": "registry.change_servicelevelobjective"}
    digits.refresh_from_db()
    assert digits.description == ""


def test_it_replaces_the_routes(manager: Api, digits: Application, v1: ModelVersion) -> None:
    wanted = [{"model": "svm", "version": "1", "weight": 3}]
    answer = manager("put", "applications/digits/routes", wanted)
    expected = {"model": "svm", "version": "1", "live_version": None, "role": "arm", "weight": 3.0}
    assert (answer.status_code, answer.json()) == (200, [expected])
    assert manager("get", "applications/digits/routes").json() == [expected]
    assert manager("put", "applications/digits/routes", []).json() == []


@pytest.mark.parametrize(
    ("wanted", "status"),
    [([{"model": "tree"}], 404), ({"model": "svm"}, 400), ([{"modle": "svm"}], 400), ("x", 400)],
)
def test_wrong_routes_leave_the_old_ones(
    manager: Api, digits: Application, wanted: Any, status: int
) -> None:
    assert manager("put", "applications/digits/routes", wanted).status_code == status
    assert [r["model"] for r in manager("get", "applications/digits/routes").json()] == ["svm"]


@pytest.mark.parametrize("part", ["", "/slo", "/routes"])
@pytest.mark.parametrize("name", ["nobody", "No Body", "%00", "a%0a", "..%2f"])
def test_an_unknown_application_is_not_found(manager: Api, name: str, part: str) -> None:
    answer = manager("get", f"applications/{name}{part}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
