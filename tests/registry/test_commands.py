"""The commands at the terminal: what they print, and how they fail."""

import os
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import CommandError, call_command

from registry import services
from registry.models import ApiKey, Application, Model, ModelVersion, Release
from registry.releases.control import KEY
from registry.releases.restarts import Ending, note_ending
from tests.registry.conftest import go_live, link

ROOT = Path(__file__).parents[2]


def run(*arguments: str, **options: Any) -> str:
    out = StringIO()
    call_command(*arguments, stdout=out, stderr=StringIO(), **options)
    return out.getvalue()


def manage(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "manage.py"), *arguments],
        env=os.environ | {"CLIPPER_VAR": str(folder)},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_deploy_waits_until_it_is_live(
    db: None, v1: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def complete(release: Release, **kwargs: Any) -> None:
        services.complete_release(release=Release.objects.get(pk=release.pk))

    monkeypatch.setattr(Release, "refresh_from_db", _before(Release.refresh_from_db, complete))
    assert "svm:1 is live." in run("deploy", "svm", "1", "--wait")


def test_deploy_fails_with_the_reason_of_the_release(
    db: None, v1: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(release: Release, **kwargs: Any) -> None:
        services.fail_release(release=Release.objects.get(pk=release.pk), error="no model")

    monkeypatch.setattr(Release, "refresh_from_db", _before(Release.refresh_from_db, fail))
    with pytest.raises(CommandError, match=r"of svm:1 failed: no model"):
        run("deploy", "svm", "1", "--wait")


def _before(method: Any, first: Any) -> Any:
    def both(self: Any, *args: Any, **kwargs: Any) -> None:
        first(self)
        method(self, *args, **kwargs)

    return both


@pytest.mark.parametrize(
    "line",
    [
        "deploy tree 1",
        "deploy svm 3",
        "rollback svm --to 9",
        "scale svm 2",
        "scale svm 999 --of 1",
        "scale svm --max 4 --fixed",
        "scale svm two",
        "create_api_key k --scopes rule",
        "create_api_key k --application none",
        "create_api_key k --expires-days inf",
        "revoke_api_key nobody",
    ],
)
def test_a_failure_is_one_line(db: None, v1: ModelVersion, line: str) -> None:
    with pytest.raises(CommandError) as caught:
        run(*line.split())
    assert len(str(caught.value).splitlines()) == 1


def test_rollback_goes_back(db: None, v1: ModelVersion, v2: ModelVersion) -> None:
    go_live(v1)
    go_live(v2)
    assert run("rollback", "svm", "--reason", "worse").endswith("of svm:1 is live.\n")
    assert run("rollback", "svm", "--to", "2").endswith("of svm:2 is live.\n")


def test_scale_sets_the_bounds_of_autoscaling_and_lifts_them(db: None, v1: ModelVersion) -> None:
    said = run("scale", "svm", "--min", "2", "--max", "4", "--of", "1")
    assert said == "svm:1 is to have 2 replicas now, and 2 to 4 as load asks.\n"
    v1.refresh_from_db()
    assert (v1.replicas, v1.replica_bounds) == (2, (2, 4))
    assert run("scale", "svm", "7", "--fixed", "--of", "1") == "svm:1 is to have 7 replicas.\n"
    v1.refresh_from_db()
    assert (v1.replicas, v1.replica_bounds) == (7, None)


def test_status_shows_a_crash_loop(svm: Model, v1: ModelVersion, server_redis: redis.Redis) -> None:
    for number in range(8):
        ending = Ending(host="app1", pid=number, reason="signal 9 (SIGKILL)")
        note_ending(server_redis, ending, replica_id=str(number), version_id=v1.pk)

    lines = [line.split() for line in run("status").splitlines()]
    assert ["svm:1", "app1", "8", "signal", "9", "(SIGKILL)"] in lines


def test_status_says_that_nobody_moves_anything_on(db: None, server_redis: redis.Redis) -> None:
    server_redis.delete(KEY)
    assert "No control worker has been heard of" in run("status")


def test_status_is_a_clear_table(
    digits: Application, svm: Model, v1: ModelVersion, v2: ModelVersion
) -> None:
    go_live(v1)
    link(digits, model=svm, version=v2)
    run("deploy", "svm", "2")
    lines = [line.split() for line in run("status").splitlines()]
    assert ["name", "policy", "SLO", "default", "routes"] in lines
    assert ["digits", "exp4", "50", "ms", "-1", "svm:1,", "svm:2", "(pinned)"] in lines
    assert ["svm", "doubles", "1", "1", "2,", "1"] in lines
    assert any(line[1:4] == ["svm:2", "deploy", "pending"] for line in lines)
    services.configure_version(version=v1, max_replicas=4, by=services.SYSTEM)
    assert "  1 (1 to 4)  " in run("status")


def test_create_api_key_prints_nothing_but_the_key(digits: Application) -> None:
    text = run("create_api_key", "robot", "--application", "digits", "--expires-days", "1")
    key = ApiKey.objects.get(digest=ApiKey.digest_of(text.strip()))
    assert (key.name, key.scopes, key.bound) == ("robot", frozenset({"predict", "feedback"}), True)
    assert key.expires_at is not None
    every = run("create_api_key", "boss", "--scopes", "predict,feedback,manage").strip()
    assert ApiKey.objects.get(digest=ApiKey.digest_of(every)).can_manage


@pytest.mark.parametrize("by", ["name", "pk", "prefix", "text"])
def test_revoke_api_key_takes_the_one_that_is_meant(db: None, by: str) -> None:
    other = run("create_api_key", "other").strip()
    text = run("create_api_key", "robot", "--scopes", "manage").strip()
    key = ApiKey.objects.get(name="robot")
    which = text if by == "text" else str(getattr(key, by))
    assert run("revoke_api_key", which) == f"robot ({key.prefix}...) is revoked.\n"
    key.refresh_from_db()
    assert key.revoked_at is not None
    assert ApiKey.objects.get(digest=ApiKey.digest_of(other)).revoked_at is None
    with pytest.raises(CommandError, match="that isn't revoked, got none"):
        run("revoke_api_key", "robot")


def test_in_a_shell_failures_end_with_1_and_one_line(tmp_path: Path) -> None:
    for arguments in (("deploy",), ("deploy", "svm", "1")):
        ended = manage(*arguments, folder=tmp_path)
        assert ended.returncode == 1
        assert "Traceback" not in ended.stderr
        assert len(ended.stderr.strip().splitlines()) == 1, ended.stderr
