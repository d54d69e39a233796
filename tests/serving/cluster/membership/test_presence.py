"""A replica's presence: kept up by a thread, through an absence of Redis too."""

import threading
from collections.abc import Callable, Iterator

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from core.redis.expiring_keys import ExpiringKeys
from serving.cluster.host_environments import HOSTS_KEY, read_hosts
from serving.cluster.membership.directory import Directory
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.views import VIEWS, read_views
from serving.cluster.membership.workers import WORKERS, read_workers
from serving.cluster.replica import heartbeat as module
from serving.cluster.replica.heartbeat import Heartbeat
from tests.redis_server import RedisServer, redis_server
from tests.serving.cluster.samples import SEAL, a_record
from tests.serving.cluster.wait_until import wait_for

MakePresence = Callable[..., Heartbeat]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def seen(server: RedisServer) -> Iterator[Directory]:
    """The directory as somebody else reads it, who waits for nothing."""
    with redis.Redis.from_url(server.url, retry=Retry(NoBackoff(), retries=1)) as client:
        yield Directory(client, seal=SEAL)


@pytest.fixture
def make_presence(seen: Directory, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakePresence]:
    monkeypatch.setattr(module, "HEARTBEAT_S", 0.02)
    made: list[Heartbeat] = []

    def make(*, is_orphan: Callable[[], bool] = lambda: False) -> Heartbeat:
        record = a_record(state=ReplicaState.LOADING)
        heartbeat = Heartbeat(record, directory=seen, is_orphan=is_orphan)
        heartbeat.start()
        made.append(heartbeat)
        return heartbeat

    yield make
    for heartbeat in made:
        heartbeat.withdraw()


def test_heartbeats_carry_the_statistics_of_the_moment(
    make_presence: MakePresence, seen: Directory
) -> None:
    counter = iter(range(1000))

    make_presence().report(lambda: {"queries": next(counter)})

    wait_for(lambda: any(record.queries > 3 for record in seen.read()))


def test_a_withdrawn_replica_stays_away(make_presence: MakePresence, seen: Directory) -> None:
    heartbeat = make_presence()
    wait_for(lambda: seen.read())

    heartbeat.withdraw()

    assert seen.read() == []
    wait_for(lambda: not any(t.name == "heartbeat" for t in threading.enumerate()))
    assert seen.read() == []


def test_a_withdrawn_replica_no_longer_asks_whether_to_drain(make_presence: MakePresence) -> None:
    looking, withdrawn = threading.Event(), threading.Event()
    looks_after: list[bool] = []

    def is_orphan() -> bool:
        looking.set()
        looks_after.append(withdrawn.wait(timeout=0.2))
        return False

    heartbeat = make_presence(is_orphan=is_orphan)
    assert looking.wait(timeout=60)

    heartbeat.withdraw()
    withdrawn.set()
    wait_for(lambda: not any(t.name == "heartbeat" for t in threading.enumerate()))

    assert not any(looks_after)


def test_a_failed_replica_stays_to_be_read(make_presence: MakePresence, seen: Directory) -> None:
    heartbeat = make_presence()

    heartbeat.become(ReplicaState.FAILED, last_error="no such file")
    heartbeat.withdraw()

    assert [record.last_error for record in seen.read()] == ["no such file"]


def test_a_state_entered_while_redis_was_away_is_told_when_it_is_back(
    make_presence: MakePresence, seen: Directory, server: RedisServer
) -> None:
    heartbeat = make_presence()
    server.kill()
    heartbeat.become(ReplicaState.READY)
    server.start()

    wait_for(lambda: [r for r in seen.read() if r.state is ReplicaState.READY])


def test_a_request_to_drain_is_heard(make_presence: MakePresence, seen: Directory) -> None:
    heartbeat = make_presence()
    assert not heartbeat.drain.is_set()

    seen.ask_to_drain(["r1"])

    assert heartbeat.drain.wait(timeout=60)


def test_an_orphan_drains_without_redis(make_presence: MakePresence, server: RedisServer) -> None:
    parent_gone = threading.Event()
    heartbeat = make_presence(is_orphan=parent_gone.is_set)

    server.kill()
    parent_gone.set()

    assert heartbeat.drain.wait(timeout=60)


@pytest.mark.parametrize(
    ("kind", "read"),
    [(VIEWS, read_views), (WORKERS, read_workers), (None, read_hosts)],
    ids=["views", "workers", "environments"],
)
def test_a_record_in_another_shape_is_left_out(
    server: RedisServer, kind: ExpiringKeys | None, read: Callable[..., list[object]]
) -> None:
    """As another release of Clipper may write it."""
    with redis.Redis.from_url(server.url) as client:
        if kind is None:
            client.hset(HOSTS_KEY, "elsewhere", b"{}")
        else:
            with client.pipeline() as pipe:
                kind.write(pipe, "other", text=b"{}", ttl_s=None)
                pipe.execute()
        assert read(client) == []
