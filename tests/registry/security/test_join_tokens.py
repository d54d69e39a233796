"""Join tokens: made by whoever grants everything, good for so many hosts, and for nothing else."""

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from pytest_django.fixtures import Settings

from core.version import VERSION
from registry import services
from registry.models import ApiKey, AuditEntry
from tests.registry.conftest import Api, make_key

HOST = {"host": "gpu1", "release": VERSION}
SHARED = {
    "REDIS_URL": "redis://:pw@10.0.0.1:6379/0",
    "DATABASE_URL": "postgres://u:pw@10.0.0.1/clipper",
    "CLIPPER_CLUSTER_SECRET": "s" * 32,
}


@pytest.fixture
def token(db: None, settings: Settings) -> str:
    settings.CLIPPER_JOIN_SECRETS = SHARED
    return make_key(scopes=("join",))


def join(token: str, **said: Any) -> Any:
    return Api(key=token)("post", "keys/join", HOST | said)


def refusal(answer: Any) -> tuple[int, str]:
    return answer.status_code, answer.json()["error"]


def test_a_host_gets_the_settings_once_and_that_is_recorded(token: str) -> None:
    answer = join(token)
    assert (answer.status_code, answer.json()) == (200, SHARED)
    assert answer["Cache-Control"] == "no-store"
    entry = AuditEntry.objects.get(action="change")
    assert (entry.changes, entry.reason) == ({"joins": [1, 0]}, "gpu1 joined")
    assert (entry.by, entry.address) == ("API key a key", "127.0.0.1")
    assert all("pw" not in f"{each.changes}{each.reason}" for each in AuditEntry.objects.all())
    status, why = refusal(join(token))
    assert (status, "is used" in why) == (401, True)


def test_so_many_hosts_may_join_as_its_maker_said(token: str) -> None:
    several = make_key(scopes=("join",), joins=2)
    assert [join(several).status_code for _ in range(3)] == [200, 200, 401]


@pytest.mark.parametrize("state", ["revoked", "expired"])
def test_one_that_is_revoked_or_expired_is_refused_and_told_so(token: str, state: str) -> None:
    if state == "revoked":
        services.revoke_api_key(key=ApiKey.objects.get(), by=services.SYSTEM)
    else:
        ApiKey.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    status, why = refusal(join(token))
    assert (status, f"is {state}" in why) == (401, True)


def test_it_lives_for_a_day_unless_its_maker_says_otherwise(token: str) -> None:
    until = ApiKey.objects.get().expires_at
    assert until is not None
    assert timedelta(hours=23) < until - timezone.now() <= timedelta(days=1)


def test_it_does_nothing_else_and_no_other_key_joins(token: str, manager: Api) -> None:
    assert Api(key=token)("get", "models/").status_code == 403
    status, why = refusal(manager("post", "keys/join", HOST))
    assert (status, why) == (403, "Expected a join token.")
    assert Api()("post", "keys/join", HOST).status_code == 401
    assert join("clp_unknown").status_code == 401


def test_a_session_cannot_join(token: str, administrator: Api) -> None:
    assert administrator("post", "keys/join", HOST).status_code == 401


def test_only_a_superuser_makes_or_prolongs_one(
    token: str, manager: Api, administrator: Api
) -> None:
    asked = {"name": "gpu2", "scopes": ["join"]}
    assert manager("post", "keys/", asked).status_code == 403
    made = administrator("post", "keys/", asked)
    assert (made.status_code, made.json()["scopes"]) == (201, ["join"])
    longer = {"expires_at": None}
    assert manager("patch", f"keys/{made.json()['id']}", longer).status_code == 403


@pytest.mark.parametrize("more", [{"scopes": ["join", "predict"]}, {"run_code": True}])
def test_it_has_no_other_right(administrator: Api, more: dict[str, Any]) -> None:
    answer = administrator("post", "keys/", {"name": "gpu2", "scopes": ["join"]} | more)
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_URL", None),
        ("DATABASE_URL", "sqlite:////var/clipper.sqlite3"),
        ("DATABASE_URL", "postgres://u@%2Frun%2Fpostgresql/clipper"),
        ("DATABASE_URL", "postgres:///clipper?host=/run/postgresql"),
    ],
)
def test_a_stack_that_no_other_host_reaches_says_which_setting_and_spends_nothing(
    token: str, settings: Settings, setting: str, value: str | None
) -> None:
    settings.CLIPPER_JOIN_SECRETS = SHARED | {setting: value or ""}
    status, why = refusal(join(token))
    assert (status, setting in why) == (409, True)
    assert ApiKey.objects.get().joins == 1


def test_a_host_of_another_release_is_told_both(token: str) -> None:
    status, why = refusal(join(token, release="0.0.9"))
    assert status == 409
    assert VERSION in why
    assert "0.0.9" in why
    assert ApiKey.objects.get().joins == 1
