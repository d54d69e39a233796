"""Receipts of predictions that will count as something if nobody says anything about them.

Only applications with a default reward keep any, in a sorted set in Redis by when their feedback
window is over. `add` never waits; a task writes what it is given.
"""

import logging
from collections import deque
from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from redis.asyncio import Redis

from core.specs import ApplicationSpec
from selection.feedback.persistence.journal import SEEN_MARGIN_S
from selection.store.redis_keys import due_key
from selection.store.scripts import Script, ScriptCall
from selection.store.write_behind import WRITTEN_AT_ONCE, WriteBehind

# KEYS  due
# ARGV  most kept, TTL, then when each is due and its receipt. Returns how many have no room.
SCRIPT = Script("""
local room = ARGV[1] - redis.call('ZCARD', KEYS[1])
local lost = 0
for i = 3, #ARGV, 2 do
  if room > 0 then
    room = room - redis.call('ZADD', KEYS[1], ARGV[i], ARGV[i + 1])
  else
    lost = lost + 1
  end
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return lost
""")

logger = logging.getLogger(__name__)


class Due(NamedTuple):
    """A receipt as its caller has it, and the unix time in milliseconds when its time is over."""

    token: str
    at_ms: int


class DueReceipts:
    """Receipts by application; without room, or while `paused`, they are dropped and counted."""

    def __init__(self, redis: Redis, *, kept: int = 100_000) -> None:
        self._redis = redis
        self._most_kept = kept
        # With the application of each, and for how many seconds Redis keeps it.
        self._waiting: deque[tuple[int, int, Due]] = deque()
        self.writer = WriteBehind(
            what="receipts with a default reward",
            waiting=lambda: len(self._waiting),
            write_some=self._write_some,
            logger=logger,
        )
        self.dropped = 0
        self.paused = False

    @property
    def waiting(self) -> list[Due]:
        """Those that wait for Redis, the oldest first."""
        return [due for _, _, due in self._waiting]

    def add(self, application: ApplicationSpec, *, token: str, issued_at_ms: int) -> None:
        """Keep a receipt until its application's feedback window is over."""
        # So many wait for Redis at most.
        if self.paused or len(self._waiting) >= 20_000:
            self.dropped += 1
            return
        window_s = application.feedback_window_s
        due = Due(token, issued_at_ms + window_s * 1000)
        self._waiting.append((application.id, window_s + SEEN_MARGIN_S, due))
        self.writer.wake()

    async def over(self, application_id: int, *, now_ms: int, most: int) -> list[Due]:
        """Return the receipts whose time is over, oldest first; errors of Redis come through."""
        found: Any = await self._redis.zrange(
            due_key(application_id),
            "-inf",
            now_ms,
            byscore=True,
            offset=0,
            num=most,
            withscores=True,
        )
        return [Due(member.decode(), int(score)) for member, score in found]

    async def remove(self, application_id: int, due: Sequence[Due]) -> None:
        """Forget receipts that were dealt with; errors of Redis come through."""
        if due:
            await self._redis.zrem(due_key(application_id), *(receipt.token for receipt in due))

    async def _write_some(self) -> None:
        taken = list(islice(self._waiting, WRITTEN_AT_ONCE))
        members: dict[tuple[int, int], list[str | int]] = {}
        for application_id, ttl_s, due in taken:
            members.setdefault((application_id, ttl_s), []).extend((due.at_ms, due.token))
        calls = [
            ScriptCall(keys=[due_key(key)], arguments=[self._most_kept, ttl_s, *own])
            for (key, ttl_s), own in members.items()
        ]
        refused = await SCRIPT.run(self._redis, calls)
        self.dropped += sum(map(int, refused))
        for _ in taken:
            self._waiting.popleft()


def outputs_ttl_s(application: ApplicationSpec) -> int:
    """Return how long large outputs are kept, in seconds; 0: not at all."""
    if application.keep_outputs_s and application.default_reward is not None:
        return application.feedback_window_s + SEEN_MARGIN_S
    return min(application.keep_outputs_s, application.feedback_window_s)
