"""Access over REST: keys, sessions and permissions."""

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from registry import services
from registry.models import ApiKey, Application
from tests.registry.conftest import Api, make_key

NEW: dict[str, Any] = {"name": "letters", "input_type": "doubles", "slo_ms": 50}


def test_a_stranger_is_asked_for_a_key(stranger: Api) -> None:
    answer = stranger("get", "applications/")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer["WWW-Authenticate"].startswith("Api-Key")
    assert answer["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    "header", ["Api-Key", "Api-Key ", "Api-Key nonsense", "Api-Key \xff", "Bearer x", "Basic eDp5"]
)
def test_what_is_no_key_is_refused(db: None, header: str) -> None:
    answer = Api()("get", "applications/", headers={"Authorization": header})
    assert answer.status_code == 401


def test_a_key_is_taken_whatever_the_case_of_its_scheme(db: None) -> None:
    headers = {"Authorization": f"api-key {make_key()}"}
    assert Api()("get", "applications/", headers=headers).status_code == 200


def test_a_wrong_key_is_not_saved_by_a_session(administrator: Api) -> None:
    headers = {"Authorization": "Api-Key nonsense"}
    assert administrator("get", "applications/", headers=headers).status_code == 401


def test_a_revoked_key_is_useless_at_once(manager: Api) -> None:
    assert manager("get", "models/").status_code == 200
    services.revoke_api_key(key=ApiKey.objects.get(), by=services.SYSTEM)
    answer = manager("get", "models/")
    assert answer.status_code == 401
    assert "revoked" in answer.json()["error"]


def test_an_expired_key_is_useless_at_once(manager: Api) -> None:
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    answer = manager("get", "models/")
    assert answer.status_code == 401
    assert "expired" in answer.json()["error"]


def test_a_bound_key_manages_its_application(bound_manager: Api) -> None:
    assert bound_manager("get", "applications/digits").status_code == 200
    changed = bound_manager("patch", "applications/digits/slo", {"latency_ms": 10})
    assert changed.status_code == 200
    assert bound_manager("put", "applications/digits/routes", []).status_code == 200
    assert bound_manager("patch", "applications/digits", {"public": True}).status_code == 200
    assert bound_manager("delete", "applications/digits").status_code == 204


def test_a_bound_key_stays_bound_when_its_last_application_goes(bound_manager: Api) -> None:
    services.create_application(**NEW, by=services.SYSTEM)
    bound_manager("delete", "applications/digits")
    assert bound_manager("get", "applications/").json() == []
    assert bound_manager("get", "applications/letters").status_code == 404


def test_staff_do_what_their_permissions_allow(editor: Api, digits: Application) -> None:
    assert editor("patch", "applications/digits", {"public": True}).status_code == 200
    refused = editor("delete", "applications/digits")
    assert refused.status_code == 403
    assert refused.json()["details"] == {"permission": "registry.delete_application"}
    assert editor("post", "models/svm/versions/1/deploy").status_code == 403
    assert editor("get", "models/svm").json()["details"] == {"permission": "registry.view_model"}


def test_a_visitor_is_forbidden(visitor: Api) -> None:
    assert visitor("get", "applications/").status_code == 403


def test_a_session_writes_only_with_its_csrf_token(db: None) -> None:
    user = User.objects.create_superuser("ada", password="a long enough password")
    client = Client(enforce_csrf_checks=True)
    client.force_login(user)
    answer = Api(client=client)("post", "applications/", NEW)
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")
    assert "CSRF" in answer.json()["error"]


def test_a_key_needs_no_csrf_token(db: None) -> None:
    api = Api(key=make_key(), client=Client(enforce_csrf_checks=True))
    assert api("post", "applications/", NEW).status_code == 201
