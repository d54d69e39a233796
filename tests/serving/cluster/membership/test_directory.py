"""The directory: records appear, live as long as they are renewed, and vanish."""

import redis

from serving.cluster.membership.directory import (
    INDEX_KEY,
    RECORD_KEY,
    REPLICAS_CHANNEL,
    Directory,
)
from serving.cluster.membership.records import ReplicaState
from tests.serving.cluster.samples import a_record

QUEUED = ReplicaState.QUEUED


def test_a_failed_record_stays_for_a_minute(directory: Directory, client: redis.Redis) -> None:
    directory.announce(a_record(state=ReplicaState.FAILED))

    assert 50_000 < client.pttl(RECORD_KEY + "r1") <= 60_000


def test_a_queued_record_can_be_claimed(directory: Directory) -> None:
    directory.enqueue(a_record(state=QUEUED))
    mine = a_record(state=ReplicaState.LOADING, pid=42)

    assert directory.claim(mine)
    assert directory.read() == [mine]


def test_a_record_that_was_dropped_cannot_be_claimed(directory: Directory) -> None:
    directory.enqueue(a_record(state=QUEUED))
    directory.remove(["r1"])

    assert not directory.claim(a_record(state=ReplicaState.LOADING))
    assert directory.read() == []


def test_changes_of_state_are_published_and_heartbeats_are_not(
    directory: Directory, client: redis.Redis
) -> None:
    with client.pubsub(ignore_subscribe_messages=True) as changes:
        changes.subscribe(REPLICAS_CHANNEL)
        changes.get_message(timeout=30)
        directory.announce(a_record("r1"))
        directory.beat(a_record("r1"))
        directory.remove(["r2"])

        heard = [changes.get_message(timeout=30) for _ in range(2)]

    assert [message and message["data"] for message in heard] == [b"r1", b"r2"]


def test_expired_entries_leave_the_index_and_others_stay(
    directory: Directory, client: redis.Redis
) -> None:
    directory.announce(a_record("old"))
    client.pexpire(RECORD_KEY + "old", 0)
    directory.enqueue(a_record("waiting", state=QUEUED))

    directory.forget_expired()

    assert client.zrange(INDEX_KEY, 0, -1) == [b"waiting"]

    assert [record.id for record in directory.read()] == ["waiting"]
