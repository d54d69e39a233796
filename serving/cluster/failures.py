"""How often the replicas of a version failed in a row: counted in Redis, forgotten in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from serving.cluster.planning import backoff_s

if TYPE_CHECKING:
    import redis

COUNT_KEY = "clipper:failures:"
BACKOFF_KEY = "clipper:backoff:"
FORGOTTEN_AFTER_S = 600


class FailureCounts:
    """Keeps a version that cannot be loaded from being loaded over and over."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def note(self, version_id: int) -> None:
        """Count one failure and hold the version back for a while.

        Replicas that fail while it is held back failed of the same cause and count as one.
        """
        if not self._redis.set(f"{BACKOFF_KEY}{version_id}", 1, nx=True, px=1000):
            return
        count = int(self._redis.incr(f"{COUNT_KEY}{version_id}"))
        with self._redis.pipeline() as pipe:
            pipe.expire(f"{COUNT_KEY}{version_id}", FORGOTTEN_AFTER_S)
            pipe.set(f"{BACKOFF_KEY}{version_id}", count, px=int(backoff_s(count) * 1000))
            pipe.execute()

    def count(self, version_id: int) -> int:
        return int(cast("bytes | None", self._redis.get(f"{COUNT_KEY}{version_id}")) or 0)

    def held_back(self, version_ids: Sequence[int]) -> frozenset[int]:
        """Return those versions whose last failure is too fresh for another try."""
        if not version_ids:
            return frozenset()
        keys = [f"{BACKOFF_KEY}{one}" for one in version_ids]
        flags = cast("list[bytes | None]", self._redis.mget(keys))
        return frozenset(one for one, flag in zip(version_ids, flags, strict=True) if flag)

    def forget(self, version_ids: Collection[int]) -> None:
        keys = [key + str(one) for one in version_ids for key in (COUNT_KEY, BACKOFF_KEY)]
        if keys:
            self._redis.delete(*keys)
