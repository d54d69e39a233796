"""Memory of Redis: a tenth is kept for heartbeats and tasks, without which the cluster stops.

Beyond the rest nothing that grows with traffic is written, and feedback is refused.
"""

import logging
from typing import NamedTuple

from redis.asyncio import Redis

logger = logging.getLogger(__name__)


class RedisMemory(NamedTuple):
    """Memory of Redis and its limit, in bytes (0: none)."""

    used_bytes: int = 0
    max_bytes: int = 0

    @property
    def is_short(self) -> bool:
        """Return whether what is left is for heartbeats and tasks alone."""
        return 0 < self.max_bytes * 0.9 <= self.used_bytes

    def words(self) -> str:
        """Say what is wrong; "" if nothing is."""
        if self.is_short:
            share = self.used_bytes / self.max_bytes
            return f"{share:.0%} of its memory is used: feedback is refused"
        if self.max_bytes == 0 and self.used_bytes > 0:
            return "it has no limit of memory (maxmemory 0)"
        return ""


class MemoryWatch:
    """The last reading of one web process; changes are logged."""

    def __init__(self, client: Redis) -> None:
        self._redis = client
        self._said = ""
        self.memory = RedisMemory()

    async def look(self) -> RedisMemory:
        """Read it anew. Raises RedisError, and keeps the last reading."""
        info = await self._redis.info("memory")
        self.memory = RedisMemory(int(info["used_memory"]), int(info.get("maxmemory", 0)))
        words = self.memory.words()
        # The share changes all the time.
        said = words and f"short={self.memory.is_short}"
        if said != self._said:
            logger.log(
                logging.WARNING if words else logging.INFO, "redis memory: %s", words or "ok"
            )
        self._said = said
        return self.memory
