"""Brings open releases forward: validated, then started, then live once replicas are ready."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from django.db import InterfaceError, OperationalError

from registry import services
from registry.models import Release
from serving.cluster.ages import Ages
from serving.cluster.directory import ReplicaRecord, ReplicaState
from serving.cluster.endings import REASON_CHARACTERS
from serving.cluster.failures import FailureCounts
from serving.cluster.planning import kind_of
from serving.cluster.queues import queue_of
from serving.cluster.tries import MOST_TRIES, Tries
from serving.cluster.views import WebView, obstacle_text, obstacles, reached
from serving.container.errors import explain
from serving.rpc.text import safe_text

READY_WITHIN_S = 120.0
# A replica that is ready has this long until every web process has had an answer of it: time for
# several tries.
REACHED_WITHIN_S = 30.0
# From then on one ready replica is enough: the others may be waiting for slots.
ALL_READY_WITHIN_S = 20.0
MAX_FAILURES = 3
# A free slot takes a replica much sooner: one that waits longer waits for somebody to leave.
SLOT_WITHIN_S = 2.0

# Validations run in the pool that reconciles: they must leave threads free.
MAX_VALIDATIONS = 2
VALIDATING_KEY = "clipper:validating:"
VALIDATION_QUEUED_TTL_S = 60
VALIDATION_RUNNING_TTL_S = 10

NOT_FORWARD = "it could not be brought forward, tried {} times"

# Says nothing of a release: the database or Redis is away, or busy.
AWAY = (OperationalError, InterfaceError, redis.RedisError)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far the replicas of a release in state starting have come.

    `ready` say so themselves; of those `reached` have answered every web process, of which there
    are `webs`. `obstacle` names one that stands between them.
    """

    wanted: int
    ready: int
    reached: int
    webs: int
    queued: int
    present: int
    failures: int
    age_s: float
    load_error: str
    queue: str
    # Slots that replicas hold on that queue's workers, whosever they are.
    in_use: int = 0
    # How long the first of those queued has waited for one.
    waited_s: float = 0.0
    obstacle: str = ""
    # For how long one has been ready.
    ready_s: float = 0.0

    @property
    def is_live(self) -> bool:
        return self.reached >= max(1, self.wanted) or (
            self.reached > 0 and self.age_s >= ALL_READY_WITHIN_S
        )

    @property
    def fault(self) -> str:
        """Why to give up, "" where there's still hope."""
        if self.ready:
            unreached = self.obstacle and not self.reached and self.ready_s >= REACHED_WITHIN_S
            return self.obstacle if unreached else ""
        if self.failures >= MAX_FAILURES:
            return self.load_error or f"its replicas failed {self.failures} times"
        if self.age_s < READY_WITHIN_S:
            return ""
        if self.load_error:
            return self.load_error
        if self.queued and self.queued == self.present:
            return f"no free slot{self._where} within {READY_WITHIN_S:.0f} s"
        return f"no replica became ready within {READY_WITHIN_S:.0f} s"

    @property
    def text(self) -> str:
        """What it waits for at this moment."""
        parts = []
        waiting = self.queued > 0 and self.waited_s > SLOT_WITHIN_S
        if self.ready or not waiting:
            parts.append(f"{self.ready} of {max(1, self.wanted)} replicas ready")
        if self.failures:
            parts.append(f"failed {self.failures} times")
        if waiting:
            parts.append(f"waiting for a slot{self._where}")
        if self.ready > self.reached:
            parts.append(self._reach)
        return ", ".join(parts)

    @property
    def _reach(self) -> str:
        if not self.webs:
            return "waiting for a web process to ask them"
        return self.obstacle or f"{self.reached} of them reached by every web process"

    @property
    def _where(self) -> str:
        if not self.in_use:
            return f" on queue {self.queue} (no worker takes from it)"
        return f" on queue {self.queue} ({self.in_use} of {self.in_use} in use)"


class Releases:
    """The open releases; `validate` has to start a validation elsewhere and return at once."""

    def __init__(
        self, client: redis.Redis, *, validate: Callable[[int], object], ages: Ages
    ) -> None:
        self._redis = client
        self._ages = ages
        self._failures = FailureCounts(client)
        self._tries = Tries(client, of="forward")
        self._validate = validate

    def advance(
        self, *, records: Sequence[ReplicaRecord], views: Sequence[WebView], now: float
    ) -> None:
        """Take every open release as far as it can go now, a monotonic time."""
        open_releases = list(Release.objects.open().with_versions().order_by("pk"))
        pending = [r for r in open_releases if r.state == Release.State.PENDING]
        for release in open_releases:
            with trying(release, tries=self._tries):
                self._advance(release, records=records, views=views, now=now)
        self._start_validations([r.pk for r in pending if r.target.validated_at is None])

    def _advance(
        self,
        release: Release,
        *,
        records: Sequence[ReplicaRecord],
        views: Sequence[WebView],
        now: float,
    ) -> None:
        if release.state == Release.State.STARTING:
            self._settle(release, self._progress(release, records=records, views=views, now=now))
        elif release.target.validated_at is not None:
            # An artifact is what its digest says, so one proof of it is enough.
            begin(release, failures=self._failures)

    def _settle(self, release: Release, progress: Progress) -> None:
        if progress.is_live:
            services.complete_release(release=release)
            logger.info(
                "live release=%d arm=%s reached=%d", release.pk, release.arm, progress.reached
            )
        elif progress.fault:
            fail(release, reason=progress.fault)
        else:
            services.note_progress(release=release, progress=progress.text)

    def _progress(
        self,
        release: Release,
        *,
        records: Sequence[ReplicaRecord],
        views: Sequence[WebView],
        now: float,
    ) -> Progress:
        version = release.target
        own = [
            record
            for record in records
            if (record.version_id, record.generation) == (version.pk, version.generation)
            and record.is_supply
        ]
        ready = [record for record in own if record.state is ReplicaState.READY]
        queued = [record for record in own if record.state is ReplicaState.QUEUED]
        holding = [record for record in records if record.holds_slot]
        ages, name = self._ages, f"release {release.pk}"
        return Progress(
            wanted=version.replicas,
            ready=len(ready),
            reached=reached([record.id for record in ready], views=views),
            webs=len(views),
            queued=len(queued),
            present=len(own),
            failures=self._failures.count(version.pk),
            age_s=ages.of(name, now=now),
            load_error=version.load_error,
            queue=queue_of(version.device),
            in_use=sum(kind_of(record.device) == version.device for record in holding),
            waited_s=max((ages.of(record.id, now=now) for record in queued), default=0.0),
            obstacle=next((obstacle_text(*one) for one in obstacles(ready, views=views)), ""),
            ready_s=ages.of(f"{name} ready", now=now) if ready else 0.0,
        )

    def _start_validations(self, release_ids: Sequence[int]) -> None:
        keys = [validating_key(one) for one in release_ids]
        running = self._redis.exists(*keys) if keys else 0
        for release_id in release_ids:
            if int(running) >= MAX_VALIDATIONS:
                return
            if self._redis.set(
                validating_key(release_id), "queued", nx=True, ex=VALIDATION_QUEUED_TTL_S
            ):
                self._validate(release_id)
                running = int(running) + 1


def validating_key(release_id: int) -> str:
    """Held while a release is validated; where its holder died it expires, and all starts anew."""
    return f"{VALIDATING_KEY}{release_id}"


def begin(release: Release, *, failures: FailureCounts) -> bool:
    """Let a release's replicas start; False where it was superseded meanwhile."""
    failures.forget([release.target.pk])
    services.begin_release(release=release)
    return release.state == Release.State.STARTING


def fail(release: Release, *, reason: str) -> None:
    """End it with the reason, which may be a model's own words."""
    reason = safe_text(reason, most=REASON_CHARACTERS)
    services.fail_release(release=release, error=reason)
    logger.warning("failed release=%d arm=%s: %s", release.pk, release.arm, reason)


@contextmanager
def trying(release: Release, *, tries: Tries) -> Iterator[None]:
    """Keep what goes wrong with one release from the others; after a few times it has failed."""
    try:
        yield
    except AWAY:
        raise
    except Exception as error:
        count = tries.count(release.pk)
        logger.exception("release not brought forward release=%d try=%d", release.pk, count)
        if count >= MOST_TRIES:
            fail(release, reason=f"{NOT_FORWARD.format(count)}: {explain(error)}")
    else:
        tries.forget(release.pk)
