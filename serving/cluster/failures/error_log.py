"""The last errors of each version in Redis: each kind once, with how often, and when last."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, cast

import msgspec

from serving.container.failures.recent_failures import Failure

if TYPE_CHECKING:
    import redis
    from redis.client import Pipeline

KEY = "clipper:errors:{}"


class Phase(StrEnum):
    """The step in which a version's code failed."""

    CHECK = "check"
    LOAD = "load"
    SERVE = "serve"


class KnownError(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of error of a version; times are unix seconds."""

    error: str
    traceback: str
    phase: Phase
    kind: str = ""
    replica: str = ""
    first_at: float = 0.0
    last_at: float = 0.0
    count: int = 0


_decoder = msgspec.json.Decoder(list[KnownError])


class ErrorLog:
    """The errors of versions; raises redis.RedisError."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def add(
        self, version_id: int, failures: Sequence[Failure], *, phase: Phase, replica: str = ""
    ) -> None:
        """Count these; of a kind that is known the latest text replaces the one before."""
        if not failures:
            return
        key = KEY.format(version_id)

        def merge(pipe: Pipeline) -> None:
            known = {(one.phase, one.kind): one for one in _read(pipe, key)}
            for failure in failures:
                before = known.get((phase, failure.kind))
                known[phase, failure.kind] = KnownError(
                    error=failure.error,
                    traceback=failure.traceback,
                    phase=phase,
                    kind=failure.kind,
                    replica=replica,
                    first_at=(before.first_at if before else 0.0) or failure.last_at,
                    last_at=max(failure.last_at, before.last_at if before else 0.0),
                    count=failure.count + (before.count if before else 0),
                )
            # Each takes about 10 KB at most.
            latest = sorted(known.values(), key=lambda one: -one.last_at)[:10]
            pipe.multi()
            pipe.set(key, msgspec.json.encode(latest), ex=timedelta(days=3))

        self._redis.transaction(merge, key)

    def read(self, version_id: int) -> list[KnownError]:
        """Return what is known of a version, the latest first."""
        return _read(self._redis, KEY.format(version_id))


def _read(client: redis.Redis, key: str) -> list[KnownError]:
    text = cast("bytes | None", client.get(key))
    return [] if text is None else _decoder.decode(text)
