"""A key that reads sees what a key that manages does, and changes nothing."""

import pytest

from core.errors import Forbidden
from registry import services
from registry.models import Application, ModelVersion
from tests.registry.conftest import BY, Api, make_key, signed_in


def test_one_that_is_bound_sees_its_own(digits: Application, v1: ModelVersion) -> None:
    services.create_application(name="other", input_type="doubles", slo_ms=50.0, by=BY)
    api = Api(key=make_key(scopes=("read",), applications=[digits]))
    assert [each["name"] for each in api("get", "applications/").json()] == ["digits"]
    assert api("get", "keys/").status_code == 403


def test_who_sees_less_makes_none(manager: Api, bound_manager: Api, predictor: Api) -> None:
    said = {"name": "ci", "scopes": ["read"]}
    assert manager("post", "keys/", said).status_code == 201
    assert bound_manager("post", "keys/", said).status_code == 403
    by = services.Actor.of_user(signed_in(is_staff=True)[0])
    with pytest.raises(Forbidden):
        services.create_api_key(name="ci", scopes=["read"], by=by)
