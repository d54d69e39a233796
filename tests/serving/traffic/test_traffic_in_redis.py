"""Counts that processes publish reach the history, even if a process ends before they are read."""

import asyncio

import pytest
import redis
from redis.asyncio import Redis

from serving.metrics.published import KEY_PREFIX, TRAFFIC, Metrics, publish
from serving.traffic.merging import LOCK, merge_traffic, thin_traffic
from serving.traffic.models import TrafficRow
from tests.serving.traffic.counting import Counted

pytestmark = pytest.mark.django_db


def publish_all(socket: str, *processes: Metrics, left: bool = False) -> None:
    async def all_of_them() -> None:
        async with Redis(unix_socket_path=socket) as client:
            for process in processes:
                document = process.document(at=0.0, now=0.0, rss_bytes=0, versions={})
                await publish(client, document, traffic=process.traffic(left=left))

    asyncio.run(all_of_them())


def counts() -> tuple[int, int]:
    rows = [*TrafficRow.objects.all()]
    return sum(row.good for row in rows), sum(row.gaps for row in rows)


def test_a_process_that_was_killed_while_control_was_away_has_all_its_counts(
    server_redis: redis.Redis, redis_socket: str
) -> None:
    counted = Counted()
    killed, left, lives = counted.start(), counted.start(), counted.start()
    for process in counted.processes:
        counted.answer(process)
    publish_all(redis_socket, killed, lives)
    assert merge_traffic() == 1
    for process in counted.processes:
        counted.answer(process)
    publish_all(redis_socket, killed, lives)
    publish_all(redis_socket, left, left=True)
    server_redis.delete(KEY_PREFIX + killed.process_id)  # as after five seconds

    merge_traffic()
    merge_traffic()
    assert counts() == (6, 1)
    assert server_redis.zrange(TRAFFIC.index, 0, -1) == [lives.process_id.encode()]
    assert thin_traffic() == 0


def test_a_process_that_was_taken_for_dead_is_counted_on(
    server_redis: redis.Redis, redis_socket: str
) -> None:
    counted = Counted()
    process = counted.start()
    counted.answer(process)
    publish_all(redis_socket, process)
    server_redis.delete(KEY_PREFIX + process.process_id)
    merge_traffic()
    counted.answer(process)
    publish_all(redis_socket, process)
    merge_traffic()
    assert counts()[0] == 2


def test_two_control_workers_never_merge_at_once(
    server_redis: redis.Redis, redis_socket: str
) -> None:
    counted = Counted()
    counted.answer(counted.start())
    publish_all(redis_socket, *counted.processes)
    with server_redis.lock(LOCK, timeout=60):
        assert merge_traffic() == 0
    assert merge_traffic() == 1
