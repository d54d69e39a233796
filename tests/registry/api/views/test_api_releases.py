"""Deploy, rollback and their history over REST."""

import pytest
import redis

from registry import services
from registry.models import Model, ModelVersion, Release, Rollout
from registry.releases.control import KEPT_S, KEY, note_round
from tests.registry.conftest import Api, go_live


@pytest.fixture(autouse=True)
def _control(server_redis: redis.Redis) -> None:
    """A control worker has just done a round."""
    note_round(server_redis)


def test_a_deploy_is_accepted_with_its_release(manager: Api, v1: ModelVersion) -> None:
    answer = manager("post", "models/svm/versions/1/deploy", {"reason": "the first"})
    assert answer.status_code == 202
    body = answer.json()
    assert answer["Location"] == f"/api/v1/models/svm/releases/{body['id']}"
    expected = {
        **{"model": "svm", "version": "1", "previous_version": None, "kind": "deploy"},
        **{"state": "pending", "reason": "the first", "error": "", "by": "API key a key"},
        **{"progress": "its turn comes within a second", "live_at": None, "ended_at": None},
    }
    assert {name: body[name] for name in expected} == expected
    assert manager("get", f"models/svm/releases/{body['id']}").json() == body


def test_a_rollout_says_how_far_its_shadow_agrees(
    manager: Api, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    begun = manager("post", "models/svm/versions/2/deploy", {"rollout": "usual"}).json()
    path = f"models/svm/rollouts/{begun['rollout']}"
    assert manager("get", path).json()["shadow"] == ""
    Rollout.objects.update(evidence={"shadow": "900 answers compared"})
    assert manager("get", path).json()["shadow"] == "900 answers compared"


def test_a_failed_release_says_why_and_the_old_version_serves_on(
    manager: Api, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    identity = manager("post", "models/svm/versions/2/deploy").json()["id"]
    services.fail_release(release=Release.objects.get(pk=identity), error="not a model")
    body = manager("get", f"models/svm/releases/{identity}").json()
    assert (body["state"], body["error"]) == ("failed", "not a model")
    assert manager("get", "models/svm").json()["live_version"] == "1"
    assert manager("get", "models/svm/versions/2").json()["load_error"] == "not a model"


def test_a_release_says_what_it_waits_for_while_it_does(manager: Api, v1: ModelVersion) -> None:
    identity = manager("post", "models/svm/versions/1/deploy").json()["id"]
    release = Release.objects.get(pk=identity)
    services.begin_release(release=release)
    services.note_progress(release=release, progress="waiting for a slot")
    url = f"models/svm/releases/{identity}"
    assert manager("get", url).json()["progress"] == "waiting for a slot"

    services.complete_release(release=release)

    assert manager("get", url).json()["progress"] == ""


def test_where_nobody_moves_it_on_a_release_says_so(
    manager: Api, v1: ModelVersion, server_redis: redis.Redis
) -> None:
    identity = manager("post", "models/svm/versions/1/deploy").json()["id"]
    server_redis.pexpire(KEY, int((KEPT_S - 30) * 1000))

    progress = manager("get", f"models/svm/releases/{identity}").json()["progress"]

    assert "is silent for 30 s: no release advances" in progress


def test_deploying_what_is_live_is_a_conflict(manager: Api, v1: ModelVersion) -> None:
    go_live(v1)
    answer = manager("post", "models/svm/versions/1/deploy")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


def test_deploying_what_is_on_its_way_is_a_conflict_that_names_the_release(
    manager: Api, v1: ModelVersion
) -> None:
    first = manager("post", "models/svm/versions/1/deploy").json()
    again = manager("post", "models/svm/versions/1/deploy")
    assert again.status_code == 409
    assert again.json()["details"]["release"] == first["id"]


def test_history_is_newest_first_and_comes_in_pages(
    manager: Api, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    go_live(v2)
    manager("post", "models/svm/rollback")
    history = manager("get", "models/svm/releases/").json()
    assert [(r["kind"], r["version"], r["state"]) for r in history] == [
        ("rollback", "1", "live"),
        ("deploy", "2", "superseded"),
        ("deploy", "1", "superseded"),
    ]
    assert manager("get", "models/svm/releases/?limit=1&offset=1").json() == [history[1]]


def test_a_person_is_named_in_the_history(administrator: Api, v1: ModelVersion) -> None:
    assert administrator("post", "models/svm/versions/1/deploy").json()["by"] == "grace"


@pytest.mark.parametrize("identity", ["0", "99999", str(2**70), "abc"])
def test_an_unknown_release_is_not_found(manager: Api, svm: Model, identity: str) -> None:
    answer = manager("get", f"models/svm/releases/{identity}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
