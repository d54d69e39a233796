"""Runtime of a console process: its counts, and notices of changes of the registry."""

import asyncio
import os
import secrets
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic, time

from redis.asyncio import Redis

from core.loop.background_tasks import end_tasks
from core.memory import resident_bytes
from core.redis.async_redis import bounded_redis
from registry.following.followers import everyone_followed
from selection.store.redis_keys import REDIS_ERRORS
from serving.metrics.masters import MasterCounts
from serving.metrics.published import CONSOLES, ArtifactCounts, Metrics, publish, withdraw
from serving.web.upkeep import keep, listen


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleSpec:
    """Settings of a console process; its functions block, and are called in a thread."""

    redis_url: str
    registry_channel: str
    # The names of all versions by their ids.
    read_arms: Callable[[], Mapping[int, str]]
    # The number of the registry's last change.
    last_change: Callable[[], int] = int
    # What the masters of this host's web processes have counted.
    read_masters: Callable[[], Mapping[str, MasterCounts]] = dict


class ConsoleRuntime:
    """Owns the counts, and the tasks that publish them and listen for changes."""

    def __init__(self, spec: ConsoleSpec) -> None:
        self.spec = spec
        self.redis: Redis = bounded_redis(spec.redis_url)
        self.metrics = Metrics(process_id=f"{os.getpid()}-{secrets.token_hex(3)}", pid=os.getpid())
        self.artifacts = ArtifactCounts()
        self._since = time()
        # Resolves at the next notice of a change of the registry.
        self.next_change: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        self._tasks = [
            asyncio.create_task(
                listen(
                    self.redis,
                    self.spec.registry_channel,
                    hear=self._changed,
                    catch_up=lambda: None,
                ),
                name="console.notices",
            ),
            asyncio.create_task(
                keep(self._publish, changed=asyncio.Event()), name="console.metrics"
            ),
        ]

    async def stop(self) -> None:
        await end_tasks(self._tasks)
        with suppress(*REDIS_ERRORS):  # it expires by itself
            await withdraw(self.redis, self.metrics.process_id, among=CONSOLES)
        await self.redis.aclose()

    async def followed(self) -> None:
        """Wait a moment until what was changed by now holds for every query."""
        number = await asyncio.to_thread(self.spec.last_change)
        await everyone_followed(self.redis, number)

    def _changed(self, channel: str) -> None:
        self.next_change.set_result(None)
        self.next_change = asyncio.get_running_loop().create_future()

    async def _publish(self) -> None:
        document = self.metrics.document(
            at=time(), now=monotonic(), rss_bytes=resident_bytes(), versions={}
        )
        document["since"], document["host"] = self._since, socket.gethostname()
        document["artifacts"] = self.artifacts.published()
        await publish(self.redis, document, among=CONSOLES)
