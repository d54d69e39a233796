"""Which versions are being tried out: those that a release waits for first, then what was uploaded.

They run elsewhere in this process's pool, at most so many at a time; a key in Redis is held for
each, so that another control worker leaves it alone, and takes it up where this one dies.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, cast

from registry.models import VersionCheck
from serving.cluster.control.ages import Ages, in_steps
from serving.cluster.failures.endings import REASON_CHARACTERS
from serving.rpc.text import safe_text

if TYPE_CHECKING:
    import redis

# Where nobody says otherwise: on a machine of so few cores one at a time.
FEW_CORES, MOST_CHECKS = 2, 2
# Of versions that no release waits for: the rest is for those that somebody waits for.
MOST_UPLOADED = 1
CHECKING_KEY = "clipper:checking:"
# What is written there, unless it says what its holder waits for.
QUEUED, RUNNING = "queued", "running"
QUEUED_TTL_S = 60
RUNNING_TTL_S = 10
# One that takes longer is said to, in steps of so many seconds.
STEP_S = 5


class Checks:
    """Those under way, at `most` so many, 0: as fits this machine; `begin` has to start one
    elsewhere and return at once.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        begin: Callable[[int], object],
        ages: Ages,
        most: int = MOST_CHECKS,
    ) -> None:
        self._redis = client
        self._begin = begin
        self._ages = ages
        self._most = most or fitting_checks(os.cpu_count() or 1)

    def advance(self, *, awaited: Sequence[int]) -> None:
        """Begin as many as may be; `awaited` are the versions that releases wait for, in order."""
        places = {version_id: place for place, version_id in enumerate(awaited)}
        checks = list(VersionCheck.objects.filter(state=VersionCheck.State.PENDING))
        checks.sort(key=lambda check: (places.get(check.version_id, len(places)), check.pk))
        held = self._held(checks)
        uploaded = sum(check.version_id not in places for check in held)
        begun = len(held)
        for check in checks:
            if begun >= self._most:
                return
            of_upload = check.version_id not in places
            if check in held or (of_upload and uploaded >= MOST_UPLOADED):
                continue
            if self._redis.set(checking_key(check.pk), QUEUED, nx=True, ex=QUEUED_TTL_S):
                self._begin(check.pk)
                begun += 1
                uploaded += of_upload

    def progress(self, check: VersionCheck, *, now: float) -> str:
        """What it does or waits for at this monotonic time."""
        said = cast("bytes | None", self._redis.get(checking_key(check.pk)))
        if said is None:
            which = "another version" if self._most == 1 else f"one of {self._most} other versions"
            return f"waiting until {which} has been tried out"
        text = said.decode(errors="replace")
        if text not in ("", QUEUED, RUNNING):
            return safe_text(text, most=REASON_CHARACTERS)
        tried_s = self._ages.of(f"check {check.pk}", now=now)
        long = tried_s >= STEP_S
        return (
            f"being tried out for {in_steps(tried_s, of=STEP_S)} s" if long else "being tried out"
        )

    def _held(self, checks: Collection[VersionCheck]) -> list[VersionCheck]:
        if not checks:
            return []
        keys = [checking_key(check.pk) for check in checks]
        values = cast("list[bytes | None]", self._redis.mget(keys))
        return [check for check, value in zip(checks, values, strict=True) if value is not None]


def take_up(client: redis.Redis, check_id: int) -> bool:
    """Hold a check that was queued; False where it is under way already.

    One that waits in the queue for longer than its key lives is queued again. Raises RedisError.
    """
    with client.pipeline(transaction=True) as pipe:
        pipe.getset(checking_key(check_id), RUNNING)
        pipe.expire(checking_key(check_id), RUNNING_TTL_S)
        before, _ = pipe.execute()
    return before in (None, QUEUED.encode())


def fitting_checks(cores: int) -> int:
    """How many checks fit beside the queries on a machine."""
    return 1 if cores <= FEW_CORES else MOST_CHECKS


def checking_key(check_id: int) -> str:
    """Held while a version is tried out; where its holder died it expires, and all starts anew."""
    return f"{CHECKING_KEY}{check_id}"
