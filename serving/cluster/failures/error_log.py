"""The last errors of each version in Redis: each kind once, with how often, and when last.

They come from checks, from loading and from replicas that serve. Bounded in number and in bytes,
and forgotten a few days after the last one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import msgspec

from core.redis.expiring_keys import understood
from serving.container.failures import Failure

if TYPE_CHECKING:
    import redis

TEXTS_KEY = "clipper:errors:{}:texts"
COUNTS_KEY = "clipper:errors:{}:counts"
TIMES_KEY = "clipper:errors:{}:times"
MOST_KINDS = 10  # each of about 10 KB at most
KEPT_S = 3 * 24 * 3600


class Phase(StrEnum):
    """What a version's code was doing when it failed."""

    CHECK = "check"
    LOAD = "load"
    SERVE = "serve"


class KnownError(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of error of a version; times are unix seconds."""

    error: str
    traceback: str
    phase: Phase
    replica: str = ""
    last_at: float = 0.0
    count: int = 0


class ErrorLog:
    """What goes wrong in versions, written by whoever sees it; raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(
        self, version_id: int, failures: Sequence[Failure], *, phase: Phase, replica: str = ""
    ) -> None:
        """Count these; of a kind that is known the latest text replaces the one before."""
        if not failures:
            return
        texts, counts, times = _keys(version_id)
        with self._redis.pipeline() as pipe:
            for failure in failures:
                kind = hashlib.sha256(f"{phase} {failure.kind}".encode()).hexdigest()[:16]
                pipe.hset(texts, kind, _text_of(failure, phase=phase, replica=replica))
                pipe.hincrby(counts, kind, failure.count)
                pipe.zadd(times, {kind: failure.last_at})
            for key in (texts, counts, times):
                pipe.expire(key, KEPT_S)
            pipe.zrange(times, 0, -MOST_KINDS - 1)
            excess = cast("list[bytes]", pipe.execute()[-1])
        if excess:
            self._drop(version_id, kinds=excess)

    def read(self, version_id: int) -> list[KnownError]:
        """Return what is known of a version, the latest first."""
        texts, counts, times = _keys(version_id)
        with self._redis.pipeline() as pipe:
            pipe.zrevrange(times, 0, -1, withscores=True)
            pipe.hgetall(texts)
            pipe.hgetall(counts)
            latest, known, counted = pipe.execute()
        return [
            msgspec.structs.replace(error, last_at=last_at, count=int(counted.get(kind, 1)))
            for kind, last_at in latest
            if kind in known
            for error in understood([known[kind]], decoder=_decoder, what="error of a version")
        ]

    def _drop(self, version_id: int, *, kinds: Sequence[bytes]) -> None:
        texts, counts, times = _keys(version_id)
        with self._redis.pipeline() as pipe:
            pipe.hdel(texts, *cast("Sequence[str]", kinds))
            pipe.hdel(counts, *cast("Sequence[str]", kinds))
            pipe.zrem(times, *kinds)
            pipe.execute()


def _keys(version_id: int) -> tuple[str, str, str]:
    return (
        TEXTS_KEY.format(version_id),
        COUNTS_KEY.format(version_id),
        TIMES_KEY.format(version_id),
    )


def _text_of(failure: Failure, *, phase: Phase, replica: str) -> bytes:
    known = KnownError(
        error=failure.error,
        traceback=failure.traceback,
        phase=phase,
        replica=replica,
    )
    return msgspec.json.encode(known)


_decoder = msgspec.json.Decoder(KnownError)
