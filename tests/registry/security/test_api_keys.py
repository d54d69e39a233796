"""API keys over REST: made by whoever may, shown once, changed, revoked at once."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from core.errors import Forbidden
from registry import services
from registry.models import ApiKey, Application, AuditEntry, ModelVersion
from tests.registry.conftest import BY, Api, make_key, signed_in

CI = {"name": "ci", "scopes": ["predict", "feedback"]}


def made(api: Api, **fields: Any) -> dict[str, Any]:
    answer = api("post", "keys/", CI | fields)
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_the_key_is_in_the_answer_and_nowhere_else(manager: Api) -> None:
    answer = manager("post", "keys/", CI)
    body = answer.json()
    assert answer["Cache-Control"] == "no-store"
    assert answer["Location"] == f"/api/v1/keys/{body['id']}"
    text = body.pop("key")
    assert ApiKey.objects.get(pk=body["id"]).digest == ApiKey.digest_of(text)
    assert manager("get", f"keys/{body['id']}").json() == body
    assert text not in manager("get", "keys/").content.decode()
    assert all(text not in str(entry.changes) for entry in AuditEntry.objects.all())


def test_it_may_what_was_asked_and_no_more(manager: Api) -> None:
    body = made(manager, scopes=["predict"])
    assert (body["scopes"], body["applications"], body["active"]) == (["predict"], None, True)
    assert Api(key=body["key"])("get", "models/").status_code == 403


def test_it_may_be_bound_and_expire(manager: Api, digits: Application) -> None:
    soon = (timezone.now() + timedelta(days=1)).isoformat()
    body = made(manager, applications=[digits.name], expires_at=soon)
    assert body["applications"] == [digits.name]
    assert body["expires_at"].startswith(soon[:19])


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"scopes": []}, 400),
        ({"scopes": ["fly"]}, 400),
        ({"name": ""}, 400),
        ({"expires_at": "2001-01-01T00:00:00Z"}, 400),
        ({"expires_at": "soon"}, 400),
        ({"applications": ["nobody"]}, 404),
        ({"applications": []}, 400),
        ({"colour": "red"}, 400),
    ],
)
def test_what_cannot_be_is_refused(manager: Api, fields: dict[str, Any], status: int) -> None:
    before = ApiKey.objects.count()
    assert manager("post", "keys/", CI | fields).status_code == status
    assert ApiKey.objects.count() == before


def test_only_who_may_run_code_makes_keys_that_may(manager: Api, administrator: Api) -> None:
    refused = manager("post", "keys/", CI | {"run_code": True})
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert made(administrator, scopes=["manage"], run_code=True)["run_code"]


def test_it_is_renamed_and_its_time_is_changed(manager: Api) -> None:
    number = made(manager)["id"]
    later = (timezone.now() + timedelta(days=9)).isoformat()
    changed = manager("patch", f"keys/{number}", {"name": "cd", "expires_at": later}).json()
    assert (changed["name"], changed["expires_at"][:19]) == ("cd", later[:19])
    assert manager("patch", f"keys/{number}", {"expires_at": None}).json()["expires_at"] is None
    past = manager("patch", f"keys/{number}", {"expires_at": "2001-01-01T00:00:00Z"})
    assert (past.status_code, past.json()["code"]) == (400, "malformed")
    assert manager("get", f"keys/{number}").json()["active"]


def test_a_key_that_has_expired_can_still_be_renamed(manager: Api) -> None:
    number = made(manager)["id"]
    ApiKey.objects.filter(pk=number).update(expires_at=timezone.now() - timedelta(days=1))
    assert manager("patch", f"keys/{number}", {"name": "old"}).json()["name"] == "old"
    assert manager("patch", f"keys/{number}", {"scopes": ["manage"]}).status_code == 400


def test_a_revoked_key_stays_in_the_list_with_who_did_it(manager: Api) -> None:
    number = made(manager)["id"]
    assert manager("delete", f"keys/{number}").status_code == 204
    assert manager("delete", f"keys/{number}").status_code == 204
    shown = manager("get", f"keys/{number}").json()
    assert (shown["active"], bool(shown["revoked_at"])) == (False, True)
    entries = AuditEntry.objects.filter(action="revoke", channel="rest")
    assert [entry.name for entry in entries] == [str(ApiKey.objects.get(pk=number))]


def test_a_key_that_manages_revokes_itself_but_no_other_that_does(manager: Api) -> None:
    other = ApiKey.objects.get(digest=ApiKey.digest_of(make_key()))
    for method, body in (("delete", None), ("patch", {"name": "x"})):
        assert manager(method, f"keys/{other.pk}", body).status_code == 403
    own = ApiKey.objects.get(digest=ApiKey.digest_of(manager.headers["Authorization"].split()[1]))
    assert manager("delete", f"keys/{own.pk}").status_code == 204
    assert manager("get", "keys/").status_code == 401


def test_there_is_no_key_of_a_number_that_none_has(manager: Api) -> None:
    for number in ("999999", str(2**63)):
        assert manager("get", f"keys/{number}").status_code == 404


def test_a_bound_key_that_reads_sees_its_own(digits: Application, v1: ModelVersion) -> None:
    services.create_application(name="other", input_type="doubles", slo_ms=50.0, by=BY)
    api = Api(key=make_key(scopes=("read",), applications=[digits]))
    assert [each["name"] for each in api("get", "applications/").json()] == ["digits"]
    assert api("get", "keys/").status_code == 403


def test_who_sees_less_makes_no_key_that_reads(
    manager: Api, bound_manager: Api, predictor: Api
) -> None:
    said = {"name": "ci", "scopes": ["read"]}
    assert manager("post", "keys/", said).status_code == 201
    assert bound_manager("post", "keys/", said).status_code == 403
    by = services.Actor.of_user(signed_in(is_staff=True)[0])
    with pytest.raises(Forbidden):
        services.create_api_key(name="ci", scopes=["read"], by=by)
