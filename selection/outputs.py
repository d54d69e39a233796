"""Keeps outputs that are too large for a receipt in Redis until feedback may come for them."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from itertools import islice

import msgspec
from redis.asyncio import Redis

from selection.storage import outputs_key
from selection.write_behind import WRITTEN_AT_ONCE, WriteBehind

# Outputs that wait for Redis, together; beyond it the oldest are given up.
CAPACITY_BYTES = 64 << 20
# What keeping an entry takes besides its body.
ENTRY_BYTES = 150

logger = logging.getLogger(__name__)


class _Kept(msgspec.Struct, frozen=True):
    body: bytes
    ttl_s: int

    @property
    def size(self) -> int:
        return len(self.body) + ENTRY_BYTES


class OutputStore:
    """Large outputs by nonce. `keep` never waits; a task of this store writes what it is given."""

    def __init__(self, redis: Redis, *, capacity_bytes: int = CAPACITY_BYTES) -> None:
        self._redis = redis
        self._capacity = capacity_bytes
        self._waiting: dict[bytes, _Kept] = {}
        self._waiting_bytes = 0
        self._writer = WriteBehind(
            what="large outputs",
            waiting=lambda: len(self._waiting),
            write_some=self._write_some,
            logger=logger,
        )
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(dict[str, bytes]).decode

    async def start(self) -> None:
        await self._writer.start()

    async def stop(self) -> None:
        """Write what still waits, as far as Redis takes it, and end."""
        await self._writer.stop()

    def keep(self, nonce: bytes, *, outputs: Mapping[str, bytes], ttl_s: int) -> None:
        """Keep outputs for a time; where too many wait for Redis, the oldest are given up."""
        self._forget(nonce)
        kept = _Kept(self._encode(dict(outputs)), ttl_s)
        self._waiting[nonce] = kept
        self._waiting_bytes += kept.size
        while self._waiting_bytes > self._capacity:
            self._forget(next(iter(self._waiting)))
        self._writer.wake()

    async def fetch(self, nonces: Iterable[bytes]) -> dict[bytes, dict[str, bytes]]:
        """Return the outputs of those nonces that still have any; errors of Redis come through."""
        wanted = list(dict.fromkeys(nonces))
        bodies = {n: self._waiting[n].body for n in wanted if n in self._waiting}
        elsewhere = [nonce for nonce in wanted if nonce not in bodies]
        if elsewhere:
            stored = await self._redis.mget([outputs_key(nonce) for nonce in elsewhere])
            bodies |= {n: _bytes(b) for n, b in zip(elsewhere, stored, strict=True) if b}
        return {nonce: self._decode(body) for nonce, body in bodies.items()}

    def _forget(self, nonce: bytes) -> None:
        kept = self._waiting.pop(nonce, None)
        if kept is not None:
            self._waiting_bytes -= kept.size

    async def _write_some(self) -> None:
        taken = dict(islice(self._waiting.items(), WRITTEN_AT_ONCE))
        async with self._redis.pipeline(transaction=False) as pipe:
            for nonce, kept in taken.items():
                pipe.set(outputs_key(nonce), kept.body, ex=kept.ttl_s)
            await pipe.execute()
        for nonce in taken:
            self._forget(nonce)


def _bytes(value: bytes | str) -> bytes:
    if isinstance(value, str):
        raise TypeError("the Redis client must not decode responses")
    return value
