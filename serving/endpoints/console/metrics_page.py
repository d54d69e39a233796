"""The metrics page for Prometheus, put together at most once a second."""

import asyncio
import logging
from collections.abc import Mapping
from time import monotonic

from django.db import Error as AnyDatabaseError

from registry.releases.control import read_control_async
from registry.releases.restarts import read_restarts_async
from selection.store.health_alarms import read_alarms_async
from selection.store.redis_keys import redis_needed
from serving.cluster.failures.failure_counts import read_checks_async
from serving.cluster.host_environments import read_numbers_async
from serving.http.asgi import Endpoint, Receive, Scope, Send, endpoint, require_method, send_body
from serving.metrics.exposition import exposition
from serving.metrics.published import CONSOLES, read_published_async
from serving.web.console import ConsoleRuntime

PROMETHEUS_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")

logger = logging.getLogger(__name__)


def metrics_endpoint(runtime: ConsoleRuntime) -> Endpoint:
    """Return the endpoint of the metrics of every process, each with its own `process` label."""
    page = MetricsPage(runtime)

    @endpoint
    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET")
        await send_body(send, await page.text(), headers=[PROMETHEUS_TYPE])

    return metrics


class MetricsPage:
    """The page as it was last put together, for a second."""

    def __init__(self, runtime: ConsoleRuntime) -> None:
        self._runtime = runtime
        # The names of versions, as last read.
        self._arms: Mapping[int, str] = {}
        self._turn = asyncio.Lock()
        self._text = b""
        self._until = 0.0

    async def text(self) -> bytes:
        """Return the page. Raises Unavailable if Redis can't be read."""
        async with self._turn:
            if monotonic() >= self._until:
                self._text = await self._render()
                # The processes publish their numbers once a second.
                self._until = monotonic() + 1.0
            return self._text

    async def _render(self) -> bytes:
        client = self._runtime.redis
        arms = await self._known_arms()
        async with redis_needed(timeout_s=2.0):
            documents = await read_published_async(client)
            documents += await read_published_async(client, among=CONSOLES)
            control = await read_control_async(client)
            restarts = await read_restarts_async(client, arms)
            environments = await read_numbers_async(client)
            checks = await read_checks_async(client)
            health = await read_alarms_async(client)
        return await asyncio.to_thread(
            exposition,
            documents,
            control_age_s=control.age_s,
            restarts={arms[version_id]: of for version_id, of in restarts.items()},
            environments=environments,
            checks=checks,
            health=health,
            slots=control.last.slots if control.last else {},
            masters=await asyncio.to_thread(self._runtime.spec.read_masters),
        )

    async def _known_arms(self) -> Mapping[int, str]:
        """Return the names of versions; the last known ones if the database can't be read."""
        try:
            self._arms = await asyncio.to_thread(self._runtime.spec.read_arms)
        except AnyDatabaseError as error:
            logger.warning("versions not read for the metrics: %s", error)
        return self._arms
