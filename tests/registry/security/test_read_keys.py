"""A key that reads sees what a key that manages does, and changes nothing."""

from __future__ import annotations

import pytest

from core.errors import Forbidden
from registry import services
from registry.models import ApiKey, Application, ModelVersion
from tests.registry.conftest import BY, Api, make_key, signed_in

SEEN = (
    "applications/",
    "applications/digits",
    "applications/digits/routes",
    "models/",
    "models/svm",
    "models/svm/versions/",
    "models/svm/versions/1",
    "models/svm/releases/",
    "keys/",
    "audit/",
)
CHANGES = (
    ("post", "models/"),
    ("put", "applications/digits"),
    ("patch", "applications/digits"),
    ("delete", "applications/digits"),
    ("post", "models/svm/versions/1/deploy"),
    ("post", "models/svm/rollback"),
    ("post", "models/svm/scale"),
    ("post", "keys/"),
)


@pytest.fixture
def reader(digits: Application) -> Api:
    return Api(key=make_key(scopes=("read",)))


@pytest.mark.parametrize("path", SEEN)
def test_it_sees(reader: Api, path: str) -> None:
    assert reader("get", path).status_code == 200


@pytest.mark.parametrize(("method", "path"), CHANGES)
def test_it_changes_nothing_and_is_told_what_that_takes(
    reader: Api, method: str, path: str
) -> None:
    answer = reader(method, path, {})
    assert answer.status_code == 403
    assert answer.json()["error"] == "Expected a key with the scope manage, got one with read."


def test_it_asks_for_no_prediction(reader: Api) -> None:
    assert ApiKey.objects.get().scopes == {"read"}


def test_one_that_is_bound_sees_its_own(digits: Application, v1: ModelVersion) -> None:
    services.create_application(name="other", input_type="doubles", slo_ms=50.0, by=BY)
    api = Api(key=make_key(scopes=("read",), applications=[digits]))
    assert [each["name"] for each in api("get", "applications/").json()] == ["digits"]
    assert api("get", "keys/").status_code == 403


def test_a_key_without_either_is_told_of_both(predictor: Api) -> None:
    answer = predictor("get", "models/")
    assert answer.status_code == 403
    assert "the scope read or manage, got one with feedback, predict" in answer.json()["error"]


def test_who_sees_less_makes_none(manager: Api, bound_manager: Api, predictor: Api) -> None:
    said = {"name": "ci", "scopes": ["read"]}
    assert manager("post", "keys/", said).status_code == 201
    assert bound_manager("post", "keys/", said).status_code == 403
    by = services.Actor.of_user(signed_in(is_staff=True)[0])
    with pytest.raises(Forbidden):
        services.create_api_key(name="ci", scopes=["read"], by=by)
