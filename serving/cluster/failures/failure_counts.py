"""Counts of a version's failures in a row on each host, in Redis, for a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, cast

import msgspec

from core.redis.expiring_keys import understood

if TYPE_CHECKING:
    import redis
    import redis.asyncio

COUNT_KEY = "clipper:host-failures:"
BACKOFF_KEY = "clipper:backoff:"
PROBATION_KEY = "clipper:probation:"
FORGOTTEN_AFTER_S = 600
CHECKS_KEY = "clipper:check-counts"


class HostFailures(msgspec.Struct, frozen=True, kw_only=True):
    """A version's failures in a row on one host; `retry_in_s` is what is left of the pause."""

    host: str
    count: int
    reason: str
    retry_in_s: float = 0.0

    @property
    def text(self) -> str:
        pause = f", next try in {self.retry_in_s:.0f} s" if self.retry_in_s >= 1 else ""
        times = "once" if self.count == 1 else f"{self.count} times"
        return f"failed {times} on {self.host}{pause}: {self.reason}"


_decoder = msgspec.json.Decoder(HostFailures)


class FailureCounts:
    """Keeps a version that can't be loaded on a host from being loaded there over and over."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client

    def note(
        self,
        version_id: int,
        *,
        host_id: str,
        host: str = "",
        reason: str = "",
        lasting: bool = False,
    ) -> None:
        """Count one failure and hold the version back on this host for a while."""
        place = _place(version_id, host_id)
        if lasting:
            self._redis.set(PROBATION_KEY + place, 1, ex=FORGOTTEN_AFTER_S)
        if not self._redis.set(BACKOFF_KEY + place, 1, nx=True, px=1000):
            return
        known = self._read(version_id).get(host_id)
        count = 1 + (known.count if known else 0)
        failures = HostFailures(host=host or host_id, count=count, reason=reason)
        with self._redis.pipeline() as pipe:
            pipe.hset(f"{COUNT_KEY}{version_id}", host_id, msgspec.json.encode(failures).decode())
            pipe.expire(f"{COUNT_KEY}{version_id}", FORGOTTEN_AFTER_S)
            pipe.set(BACKOFF_KEY + place, count, px=int(backoff_s(count) * 1000))
            pipe.execute()

    def by_host(self, version_id: int) -> dict[str, HostFailures]:
        """Return the failures of each host that had any, by its id."""
        found = self._read(version_id)
        return {
            host_id: msgspec.structs.replace(
                failures,
                retry_in_s=max(0, self._redis.pttl(BACKOFF_KEY + _place(version_id, host_id)))
                / 1000,
            )
            for host_id, failures in found.items()
        }

    def held_back(
        self, version_ids: Sequence[int], *, host_ids: Iterable[str]
    ) -> dict[int, frozenset[str]]:
        """Return, by version, the hosts on which its last failure is too fresh for another try."""
        hosts = sorted(set(host_ids))
        places = [(version_id, host_id) for version_id in version_ids for host_id in hosts]
        marked = self._marked(BACKOFF_KEY, places)
        return {
            version_id: frozenset(host_id for owner, host_id in marked if owner == version_id)
            for version_id in version_ids
        }

    def forget(self, version_ids: Collection[int]) -> None:
        """Forget everything about these versions."""
        for version_id in version_ids:
            self.forget_on(version_id, host_ids=self._read(version_id))

    def forget_on(self, version_id: int, *, host_ids: Iterable[str]) -> None:
        """Forget the failures on these hosts."""
        for host_id in host_ids:
            place = _place(version_id, host_id)
            self._redis.hdel(f"{COUNT_KEY}{version_id}", host_id)
            self._redis.delete(BACKOFF_KEY + place, PROBATION_KEY + place)

    def forget_disproved(self, version_id: int, *, host_ids: Iterable[str]) -> None:
        """Forget the failures on these hosts that replicas which are ready there disprove."""
        failed = self._read(version_id).keys() & set(host_ids)
        places = [(version_id, host_id) for host_id in failed]
        lasting = {host_id for _, host_id in self._marked(PROBATION_KEY, places)}
        self.forget_on(version_id, host_ids=failed - lasting)

    def is_on_probation(self, version_id: int) -> bool:
        """Return whether it failed lately while it served, on any host."""
        places = [(version_id, host_id) for host_id in self._read(version_id)]
        return bool(self._marked(PROBATION_KEY, places))

    def _read(self, version_id: int) -> dict[str, HostFailures]:
        found = cast("dict[bytes, bytes]", self._redis.hgetall(f"{COUNT_KEY}{version_id}"))
        return {
            host_id.decode(): failures
            for host_id, text in found.items()
            for failures in understood([text], decoder=_decoder, what="failures on a host")
        }

    def _marked(self, key: str, places: Sequence[tuple[int, str]]) -> set[tuple[int, str]]:
        if not places:
            return set()
        flags = cast(
            "list[bytes | None]", self._redis.mget([key + _place(*place) for place in places])
        )
        return {place for place, flag in zip(places, flags, strict=True) if flag}


def backoff_s(failures: int) -> float:
    """Return the pause after the n-th failure in a row: 1, 2, 4, ... 60 s."""
    return float(min(60, 2 ** min(failures - 1, 6)))


def _place(version_id: int, host_id: str) -> str:
    return f"{version_id}:{host_id}"


def failure_texts(client: redis.Redis, version_ids: Iterable[int]) -> dict[int, str]:
    """Return where these versions failed lately, in a line, for those that did."""
    counts = FailureCounts(client)
    found = {version_id: counts.by_host(version_id) for version_id in version_ids}
    return {
        version_id: "; ".join(failures.text for failures in by_host.values())
        for version_id, by_host in found.items()
        if by_host
    }


def count_check(client: redis.Redis, *, passed: bool) -> None:
    """Count a check that has ended on any host; raises redis.RedisError."""
    client.hincrby(CHECKS_KEY, "passed" if passed else "failed", 1)


async def read_checks_async(client: redis.asyncio.Redis) -> dict[str, int]:
    """Return how many checks have passed, and failed."""
    counts = cast("dict[bytes, bytes]", await client.hgetall(CHECKS_KEY))
    return {outcome: int(counts.get(outcome.encode(), 0)) for outcome in ("passed", "failed")}
