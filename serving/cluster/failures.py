"""How often the replicas of a version failed in a row: counted in Redis, forgotten in time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, cast

from serving.cluster.planning import backoff_s

if TYPE_CHECKING:
    import redis

COUNT_KEY = "clipper:failures:"
BACKOFF_KEY = "clipper:backoff:"
PROBATION_KEY = "clipper:probation:"
FORGOTTEN_AFTER_S = 600


class FailureCounts:
    """Keeps a version that cannot be loaded from being loaded over and over."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def note(self, version_id: int, *, lasting: bool = False) -> None:
        """Count one failure and hold the version back for a while.

        Replicas that fail while it is held back failed of the same cause and count as one. A
        `lasting` failure, of one that served, is not disproved by another that loads.
        """
        if lasting:
            self._redis.set(f"{PROBATION_KEY}{version_id}", 1, ex=FORGOTTEN_AFTER_S)
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
        return self._marked(BACKOFF_KEY, version_ids)

    def on_probation(self, version_ids: Sequence[int]) -> frozenset[int]:
        """Return those versions that failed lately while they served, whatever loads now."""
        return self._marked(PROBATION_KEY, version_ids)

    def forget(self, version_ids: Collection[int]) -> None:
        kinds = (COUNT_KEY, BACKOFF_KEY, PROBATION_KEY)
        keys = [key + str(one) for one in version_ids for key in kinds]
        if keys:
            self._redis.delete(*keys)

    def _marked(self, key: str, version_ids: Sequence[int]) -> frozenset[int]:
        if not version_ids:
            return frozenset()
        flags = cast("list[bytes | None]", self._redis.mget([f"{key}{one}" for one in version_ids]))
        return frozenset(one for one, flag in zip(version_ids, flags, strict=True) if flag)
