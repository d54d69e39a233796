"""The worker of a replica whose process was lost says how it ended, and counts it."""

from types import SimpleNamespace

import pytest
import redis
from celery.exceptions import WorkerLostError

from registry.models import AuditEntry, ModelVersion
from registry.releases.restarts import read_restarts
from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.cluster.failures.failure_counts import FailureCounts
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaState
from serving.cluster.parent import Lifeline
from serving.cluster.replica.tasks import note_lost_replica, serve_replica
from tests.serving.cluster.samples import SEAL, a_record

pytestmark = pytest.mark.django_db(transaction=True)

SEGFAULT = WorkerLostError("Worker exited prematurely: signal 11 (SIGSEGV) Job: 1.")


@pytest.fixture
def line(monkeypatch: pytest.MonkeyPatch) -> Lifeline:
    line = Lifeline()
    monkeypatch.setattr("serving.cluster.replica.tasks.lifeline", lambda: line)
    return line


@pytest.fixture
def members(server_redis: redis.Redis) -> Directory:
    return Directory(server_redis, seal=SEAL)


def dies(live: ModelVersion, *, of: Exception = SEGFAULT) -> None:
    sender = SimpleNamespace(name=serve_replica.name)
    note_lost_replica(sender, task_id="r1", exception=of, args=("r1", live.pk))


def counted(client: redis.Redis, live: ModelVersion) -> dict[str, int]:
    found = read_restarts(client, [live.pk]).get(live.pk)
    return dict(found.by_host) if found else {}


def test_one_that_served_is_listed_as_failed_and_not_held_back(
    server_redis: redis.Redis, members: Directory, live: ModelVersion, line: Lifeline
) -> None:
    members.announce(a_record(version_id=live.pk, host="app1", host_id="h1"))
    dies(live)

    (dead,) = members.read()
    assert dead.state is ReplicaState.FAILED
    assert "SIGSEGV" in (dead.last_error or "")
    assert counted(server_redis, live) == {"app1": 1}
    assert FailureCounts(server_redis).by_host(live.pk) == {}
    (known,) = ErrorLog(server_redis).read(live.pk)
    assert known.phase is Phase.SERVE
    entry = AuditEntry.objects.get(action="crash")
    assert (entry.name, entry.model_id) == ("svm:1", live.model_id)
    assert "SIGSEGV" in entry.reason


def test_one_that_still_loaded_counts_as_a_failure(
    server_redis: redis.Redis, members: Directory, live: ModelVersion, line: Lifeline
) -> None:
    loading = ReplicaState.LOADING
    members.announce(a_record(version_id=live.pk, host="app1", host_id="h1", state=loading))
    dies(live)

    (dead,) = members.read()
    live.refresh_from_db()
    assert dead.state is ReplicaState.FAILED
    assert live.load_error == dead.last_error
    assert list(FailureCounts(server_redis).by_host(live.pk)) == ["h1"]
    (known,) = ErrorLog(server_redis).read(live.pk)
    assert known.phase is Phase.LOAD


def test_one_whose_record_has_expired_is_counted(
    server_redis: redis.Redis, live: ModelVersion, line: Lifeline
) -> None:
    dies(live)
    assert sum(counted(server_redis, live).values()) == 1


def test_nothing_is_said_of_one_that_was_ended_or_whose_worker_stops(
    server_redis: redis.Redis, members: Directory, live: ModelVersion, line: Lifeline
) -> None:
    ended = ReplicaState.FAILED
    members.announce(a_record(version_id=live.pk, state=ended, last_error="the model hung"))
    dies(live)
    members.announce(a_record(version_id=live.pk))
    dies(live, of=ValueError("another task's"))
    line.cut()
    dies(live)

    assert counted(server_redis, live) == {}
    assert ErrorLog(server_redis).read(live.pk) == []
