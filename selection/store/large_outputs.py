"""Keeps outputs that are too large for a receipt in Redis until feedback may come for them."""

import logging
import time
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any

import msgspec
from redis.asyncio import Redis

from selection.store.redis_keys import OUTPUTS, OUTPUTS_BYTES, OUTPUTS_INDEX
from selection.store.scripts import Script, ScriptCall
from selection.store.write_behind import WRITTEN_AT_ONCE, WriteBehind

# Default budget of all web processes together in Redis.
BUDGET_BYTES = 256 << 20
# Bytes of an entry besides its body: its key, and its place in the index.
ENTRY_BYTES = 250

# KEYS  those to give way by when they expire, the bytes of all
# ARGV  budget, now, what keys begin with, then of each its nonce, its body and its TTL.
# Members of the first are nonce and size; what has expired there takes no memory any more.
# Returns the bytes that are left, and how many gave way before their time.
SCRIPT = Script(
    f"local ENTRY_BYTES = {ENTRY_BYTES}"
    + """
local GIVEN_UP_AT_ONCE = 2000  -- One call may keep so many from others at most.
local index, total = KEYS[1], KEYS[2]
local budget, now, prefix = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local bytes = tonumber(redis.call('GET', total) or '0')

local function size_of(member)
  return tonumber(string.match(member, ':(%d+)$'))
end

for i = 4, #ARGV, 3 do
  local nonce, body, ttl = ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 2])
  local size = #body + ENTRY_BYTES
  redis.call('SET', prefix .. nonce, body, 'EX', ttl)
  if redis.call('ZADD', index, now + ttl, nonce .. ':' .. size) == 1 then
    bytes = bytes + size
  end
end
local expired = redis.call('ZRANGEBYSCORE', index, '-inf', now, 'LIMIT', 0, GIVEN_UP_AT_ONCE)
for _, member in ipairs(expired) do
  redis.call('ZREM', index, member)
  bytes = bytes - size_of(member)
end
local gone = 0
while bytes > budget and gone < GIVEN_UP_AT_ONCE do
  local popped = redis.call('ZPOPMIN', index)
  if #popped == 0 then
    bytes = 0
    break
  end
  redis.call('DEL', prefix .. string.match(popped[1], '^(%x+):'))
  bytes = bytes - size_of(popped[1])
  gone = gone + 1
end
redis.call('SET', total, bytes)
return {bytes, gone}
"""
)

logger = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True):
    body: bytes
    ttl_s: int

    @property
    def size(self) -> int:
        return len(self.body) + ENTRY_BYTES


class OutputStore:
    """Large outputs by nonce. `keep` never waits; a task of this store writes what it is given.

    `kept_bytes` is what all web processes keep in Redis, `evicted` counts what gave way to this
    one's, `dropped` what never got there. While it is `paused` nothing new is kept.
    """

    def __init__(
        self, redis: Redis, *, capacity_bytes: int = (64 << 20), budget_bytes: int = BUDGET_BYTES
    ) -> None:
        self._redis = redis
        self._budget = budget_bytes
        self.kept_bytes = self.evicted = self.dropped = 0
        self.paused = False
        self._capacity = capacity_bytes
        self._waiting: dict[bytes, _Kept] = {}
        self.waiting_bytes = 0
        self.writer = WriteBehind(
            what="large outputs",
            waiting=lambda: len(self._waiting),
            write_some=self._write_some,
            logger=logger,
        )
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode

    @property
    def waiting(self) -> tuple[bytes, ...]:
        """The nonces of those that wait for Redis, the oldest first."""
        return tuple(self._waiting)

    def keep(self, nonce: bytes, *, outputs: Mapping[str, bytes], ttl_s: int) -> None:
        """Keep outputs for a time; where too many wait for Redis, the oldest are given up."""
        self._forget(nonce)
        if ttl_s <= 0:
            return
        if self.paused:
            self.dropped += 1
            return
        kept = _Kept(self._encode(dict(outputs)), ttl_s)
        self._waiting[nonce] = kept
        self.waiting_bytes += kept.size
        while self.waiting_bytes > self._capacity:
            self._forget(next(iter(self._waiting)))
            self.dropped += 1
        self.writer.wake()

    async def fetch(self, nonces: Iterable[bytes]) -> dict[bytes, dict[str, bytes]]:
        """Return the outputs of those nonces that still have any; errors of Redis come through."""
        wanted = list(dict.fromkeys(nonces))
        bodies = {n: self._waiting[n].body for n in wanted if n in self._waiting}
        elsewhere = [nonce for nonce in wanted if nonce not in bodies]
        if elsewhere:
            stored: Any = await self._redis.mget([OUTPUTS + nonce.hex() for nonce in elsewhere])
            bodies |= {n: b for n, b in zip(elsewhere, stored, strict=True) if b}
        return {nonce: self._decode(body) for nonce, body in bodies.items()}

    def _forget(self, nonce: bytes) -> None:
        kept = self._waiting.pop(nonce, None)
        if kept is not None:
            self.waiting_bytes -= kept.size

    async def _write_some(self) -> None:
        taken = dict(islice(self._waiting.items(), WRITTEN_AT_ONCE))
        entries = (
            part for nonce, kept in taken.items() for part in (nonce.hex(), kept.body, kept.ttl_s)
        )
        call = ScriptCall(
            keys=[OUTPUTS_INDEX, OUTPUTS_BYTES],
            arguments=[self._budget, f"{time.time():.3f}", OUTPUTS, *entries],
        )
        [(self.kept_bytes, evicted)] = await SCRIPT.run(self._redis, [call])
        self.evicted += evicted
        for nonce in taken:
            self._forget(nonce)
