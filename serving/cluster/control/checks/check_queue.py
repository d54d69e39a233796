"""Checks of versions: those that a release waits for first, then those of what was uploaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, cast

from django.conf import settings

from core.memory import available_bytes
from registry.following.reading import version_spec
from registry.models import ModelVersion, VersionCheck
from registry.releases.progress import (
    QUEUED,
    RUNNING,
    TRYING_OUT,
    WAITING,
    checking_key,
    progress_of,
)
from serving.cluster.control.ages import Ages, in_steps
from serving.cluster.failures.endings import REASON_CHARACTERS
from serving.cluster.host_environments import BUILDING, needs_build
from serving.rpc.text import safe_text

if TYPE_CHECKING:
    import redis

# Each holds a thread of the control worker, which has ten.
MOST_HELD = 8
RUNNING_TTL_S = 10


class Checks:
    """The checks under way, `most` at once and builds beside them; `begin` starts one elsewhere
    and returns at once.
    """

    def __init__(
        self,
        client: redis.Redis,
        *,
        begin: Callable[[int], object],
        ages: Ages,
        most: int,
    ) -> None:
        self._redis = client
        self._begin = begin
        self._ages = ages
        self._most = most

    @property
    def _most_builds(self) -> int:
        """Builds never take the threads of the checks that need none."""
        return min(settings.CLIPPER_ENVIRONMENT_BUILDS, MOST_HELD - self._most)

    def advance(self, *, awaited: Sequence[int]) -> None:
        """Begin as many as may be; `awaited` are the versions that releases wait for, in order."""
        places = {version_id: place for place, version_id in enumerate(awaited)}
        pending = VersionCheck.objects.filter(state=VersionCheck.State.PENDING)
        checks = list(pending.select_related("version__model"))
        checks.sort(key=lambda check: (places.get(check.version_id, len(places)), check.pk))
        held = self._held(checks)
        builds = {check.pk for check in checks if _builds(check)}
        # Together they may take half of what is available: the rest stays for replicas that grow or
        # start meanwhile. One check runs in any case.
        free = available_bytes() / 2 if checks else 0
        for check in checks:
            # Those that build an environment, or those that don't.
            alike = [one for one in held if (one.pk in builds) == (check.pk in builds)]
            most = self._most_builds if check.pk in builds else self._most
            of_upload = check.version_id not in places
            uploaded = sum(one.version_id not in places for one in alike)
            if check in held or len(alike) >= most or len(held) >= MOST_HELD:
                continue
            # The other places are for versions that a release waits for.
            if of_upload and uploaded >= 1:
                continue
            if held and _needed_bytes(held) + _needed_bytes([check]) > free:
                break  # a smaller one behind it doesn't overtake it
            if self._redis.set(checking_key(check.pk), QUEUED, nx=True, ex=60):
                self._begin(check.pk)
                held.append(check)

    def progress(self, check: VersionCheck, *, now: float) -> str:
        """Return what it does or waits for at this monotonic time."""
        said = cast("bytes | None", self._redis.get(checking_key(check.pk)))
        if said is None:
            return f"{BUILDING}: waiting for another build" if _builds(check) else WAITING
        text = progress_of(said)
        if text != TRYING_OUT:
            return safe_text(text, most=REASON_CHARACTERS)
        tried_s = self._ages.of(f"check {check.pk}", now=now)
        return f"{text} for {in_steps(tried_s)} s" if in_steps(tried_s) else text

    def _held(self, checks: Sequence[VersionCheck]) -> list[VersionCheck]:
        if not checks:
            return []
        keys = [checking_key(check.pk) for check in checks]
        values = cast("list[bytes | None]", self._redis.mget(keys))
        return [check for check, value in zip(checks, values, strict=True) if value is not None]


def _builds(check: VersionCheck) -> bool:
    return needs_build(version_spec(check.version))


def _needed_bytes(checks: Iterable[VersionCheck]) -> int:
    """Return what these checks may take at most, as far as that is known."""

    def needed(version: ModelVersion) -> int:
        # Without a limit: three bytes for each of its artifact, while it is unpickled. And 192 MiB
        # for scikit-learn, pandas and XGBoost, more for PyTorch or TensorFlow.
        limit_mb = version.memory_limit_mb
        return (512 << 20) + (version.size * 3 if limit_mb is None else limit_mb << 20)

    return sum(needed(check.version) for check in checks)


def take_up(client: redis.Redis, check_id: int) -> bool:
    """Hold a check that was queued; False where it is under way already. Raises RedisError."""
    with client.pipeline(transaction=True) as pipe:
        pipe.getset(checking_key(check_id), RUNNING)
        pipe.expire(checking_key(check_id), RUNNING_TTL_S)
        before, _ = pipe.execute()
    return before in (None, QUEUED.encode())
