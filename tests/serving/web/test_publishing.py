"""A web process goes on publishing what it counts, whatever goes wrong once."""

import asyncio
import logging

import pytest

from core.memory import resident_bytes
from serving.metrics.published import read_published_async
from serving.web import runtime as running
from tests.serving.web.test_strangers import Registry, started


async def test_metrics_are_published_again_after_an_error_that_nobody_foresaw(
    redis_socket: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    failures = ["no such file"]

    def fail_once() -> int:
        if failures:
            raise ValueError(failures.pop())
        return resident_bytes()

    monkeypatch.setattr(running, "resident_bytes", fail_once)
    with caplog.at_level(logging.WARNING, logger="serving.web.runtime"):
        runtime = await started(Registry(), redis_socket=redis_socket)
        try:
            async with asyncio.timeout(20):
                while runtime.metrics.process_id not in {
                    document["id"] for document in await read_published_async(runtime.redis)
                }:
                    await asyncio.sleep(0.02)
        finally:
            await runtime.stop()
    assert not failures
    assert "publish_metrics failed, will retry: no such file" in caplog.text
