"""A web process passes over what its stack did not write into the directory, and counts it."""

import asyncio

import msgspec

from serving.cluster.membership.directory import INDEX_KEY, RECORD_KEY, REPLICAS_CHANNEL
from serving.metrics.exposition import exposition
from serving.metrics.published import read_published_async
from tests.serving.cluster.samples import a_record
from tests.serving.web.test_strangers import Registry, started


async def test_a_web_process_counts_what_it_refuses(redis_socket: str) -> None:
    runtime = await started(Registry(), redis_socket=redis_socket)
    try:
        await runtime.redis.flushall()
        forged = a_record("forged", address="unix:/tmp/x.sock")
        await runtime.redis.set(RECORD_KEY + "forged", msgspec.json.encode(forged))
        await runtime.redis.zadd(INDEX_KEY, {"forged": 0})
        await runtime.redis.publish(REPLICAS_CHANNEL, "forged")
        async with asyncio.timeout(20):
            documents = await read_published_async(runtime.redis)
            while not any(one["directory"]["refused"] for one in documents):
                await asyncio.sleep(0.05)
                documents = await read_published_async(runtime.redis)
        assert runtime.links.views() == {}
        process = runtime.metrics.process_id
        line = f'clipper_replica_records_refused_total{{process="{process}"}} 1.0'
        assert line in exposition(documents).decode()
    finally:
        await runtime.stop()
