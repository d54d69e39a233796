"""A web process tells how late its event loop comes, and what reading the registry takes."""

import asyncio
import time
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from serving.metrics.event_loop import LAG_INTERVAL_S, LoopWatch
from serving.metrics.exposition import exposition
from serving.metrics.published import read_published_async
from tests.serving.web.test_strangers import NEW, Registry, started

BLOCKED_S = 4 * LAG_INTERVAL_S


async def observed(watch: LoopWatch, *, times: int) -> None:
    async with asyncio.timeout(20):
        while sum(watch.lag.counts) < times:
            await asyncio.sleep(0)


def samples(document: dict[str, Any]) -> dict[str, float]:
    families = text_string_to_metric_families(exposition([document]).decode())
    return {
        sample.name: sample.value
        for family in families
        for sample in family.samples
        if "le" not in sample.labels
    }


async def test_a_loop_that_is_held_up_shows_as_lag() -> None:
    watch = LoopWatch()
    watching = asyncio.create_task(watch.run())
    try:
        await observed(watch, times=1)
        before = watch.lag.total
        time.sleep(BLOCKED_S)  # the timer was due within the first quarter
        await observed(watch, times=2)
    finally:
        watching.cancel()
    assert watch.lag.total - before >= BLOCKED_S - LAG_INTERVAL_S


async def test_a_web_process_publishes_what_it_has_seen(redis_socket: str) -> None:
    registry = Registry()
    registry.keys[NEW.digest] = NEW
    runtime = await started(registry, redis_socket=redis_socket)
    try:
        async with asyncio.timeout(20):
            found: dict[str, float] = {}
            while not found.get("clipper_web_loop_lag_seconds_count"):
                await asyncio.sleep(0.02)
                for document in await read_published_async(runtime.redis):
                    if document["id"] == runtime.metrics.process_id:
                        found = samples(document)
    finally:
        await runtime.stop()
    # A whole reading asks for its number and for four kinds of rows, each look for newer ones.
    assert 1 <= found["clipper_registry_read_seconds_count"] <= 6 * registry.reads
    assert 1 <= found["clipper_registry_apply_seconds_count"] <= registry.reads
