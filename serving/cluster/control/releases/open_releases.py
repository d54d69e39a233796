"""Brings open releases forward: validated, then started, then live once replicas are ready."""

import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import redis
from django.conf import settings
from django.utils import timezone

from registry import services
from registry.models import Release, Rollout, VersionCheck
from registry.models.version_check import limits_of
from registry.releases.control import REMEDIES
from serving.cluster.control.ages import Ages, in_steps
from serving.cluster.control.checks.check_queue import Checks
from serving.cluster.control.checks.tries import AWAY, MOST_TRIES, Tries
from serving.cluster.control.placement import occupancy
from serving.cluster.failures.endings import REASON_CHARACTERS
from serving.cluster.failures.failure_counts import FailureCounts, HostFailures
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.views import WebView, obstacle_text, obstacles, reached
from serving.cluster.membership.workers import WorkerRecord
from serving.cluster.queues import queue_of
from serving.container.failures.container_errors import explain
from serving.rpc.text import safe_text

READY_WITHIN_S = 120.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The cluster as one round finds it, at a monotonic time."""

    records: Sequence[ReplicaRecord]
    views: Sequence[WebView]
    workers: Sequence[WorkerRecord]
    now: float

    def hosts(self, device: str) -> set[str]:
        """Return the hosts that take replicas for this device."""
        queue = queue_of(device)
        return {w.host_id for w in self.workers if w.queue == queue and not w.retiring}

    def no_slot(self, device: str) -> str:
        """Return why no slot for this device is free, "" if one is."""
        queue = queue_of(device)
        if not self.hosts(device):
            return f"no worker takes from queue {queue}"
        taken = occupancy(device, workers=self.workers, records=self.records)
        in_use = sum(taken.replicas.values())
        if in_use < taken.total:
            return ""
        return (
            f"no free slot on queue {queue} ({in_use} of {taken.total} in use by {taken.holders})"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Progress of the replicas of a release in state starting.

    Of those `present`, `ready` say so themselves, and `reached` have answered every web process, of
    which there are `webs`. `obstacle` names one that stands between them.
    """

    wanted: int
    present: int
    ready: int
    reached: int
    webs: int
    failures: int
    age_s: float
    load_error: str
    # Why none of those that are missing has a slot, "" if they aren't waiting for one; and what to
    # do about it.
    no_slot: str = ""
    remedy: str = ""
    # How long the first that loads has loaded, None if none does.
    loading_s: float | None = None
    # What one of them waits for on its host before it loads.
    preparing: str = ""
    load_timeout_s: float = 120.0
    # What failed where, and how long it is not tried there again.
    failed: str = ""
    obstacle: str = ""
    # How long one has been ready, and until when every web process must have had an answer of it:
    # that is time for several tries.
    ready_s: float = 0.0
    reached_within_s: float = 30.0

    @property
    def is_live(self) -> bool:
        # The others may be waiting for slots.
        return self.reached >= max(1, self.wanted) or (self.reached > 0 and self.age_s >= 20.0)

    @property
    def fault(self) -> str:
        """Why to give up, "" if there is still hope."""
        if self.ready:
            unreached = self.obstacle and not self.reached and self.ready_s >= self.reached_within_s
            return self.obstacle if unreached else ""
        if self.failures >= 3:
            return self.load_error or f"its replicas failed {self.failures} times"
        if self.loading_s is not None:
            # Its worker ends it first.
            overdue = self.loading_s >= self.load_timeout_s + 10.0
            late = f"no replica has loaded within {self.load_timeout_s:g} s"
            return (self.load_error or late) if overdue else ""
        # What prepares takes its time, and gives up by itself.
        if self.preparing or self.age_s < READY_WITHIN_S:
            return ""
        if self.load_error:
            return self.load_error
        if self.no_slot and not self.present:
            return f"{self.no_slot} for {READY_WITHIN_S:.0f} s. {self.remedy}"
        return f"no replica became ready within {READY_WITHIN_S:.0f} s"

    @property
    def text(self) -> str:
        """Its obstacles at this moment, for people."""
        parts = []
        if self.ready or not self.no_slot:
            parts.append(f"{self.ready} of {max(1, self.wanted)} replicas ready")
        if self.loading_s is not None and (loading_s := in_steps(self.loading_s)):
            parts.append(f"loading for {loading_s} s")
        parts += [text for text in (self.preparing, self.failed, self.no_slot) if text]
        if self.ready > self.reached:
            waits = f"{self.reached} of them reached by every web process"
            nobody = "waiting for a web process to ask them"
            parts.append((self.obstacle or waits) if self.webs else nobody)
        return ", ".join(parts)


class Releases:
    """The open releases, and the checks that they wait for."""

    def __init__(self, client: redis.Redis, *, checks: Checks, ages: Ages) -> None:
        self._ages = ages
        self._checks = checks
        self._failures = FailureCounts(client)
        self._tries = Tries(client, of="forward")

    def advance(self, cluster: Cluster) -> None:
        """Take every open release as far as it can go now."""
        open_releases = _open_releases()
        pending = [r for r in open_releases if r.state == Release.State.PENDING]
        checks = VersionCheck.objects.filter(version__in=[r.version_id for r in pending])
        checks = checks.select_related("version__model")
        check_of = {check.version_id: check for check in checks}
        for release in open_releases:
            with trying(release, tries=self._tries):
                if release.state == Release.State.STARTING:
                    self._settle(release, self._progress(release, cluster=cluster))
                else:
                    self._go_by(check_of.get(release.target.pk), release=release)
        self._checks.advance(awaited=[release.target.pk for release in pending])
        for release in pending:
            check = check_of.get(release.target.pk)
            if check is not None and check.is_open and release.is_open:
                progress = self._checks.progress(check, now=cluster.now)
                services.note_progress(release=release, progress=progress)

    def _go_by(self, check: VersionCheck | None, *, release: Release) -> None:
        """Let a pending release go on, wait or fail as the check of its version says."""
        if not services.needs_check(release):
            begin(release, failures=self._failures)
        elif check is not None and check.is_open:
            return
        elif check is None or check.limits != limits_of(release.target):
            services.request_check(release.target)  # they were changed while it was tried out
        else:
            services.note_check(release=release, check=check)
            if check.state == VersionCheck.State.PASSED:
                begin(release, failures=self._failures)
            else:
                fail(release, reason=check.error)

    def _settle(self, release: Release, progress: Progress) -> None:
        rollout = Rollout.objects.open().filter(release=release).first()
        if rollout is not None and not progress.fault:
            self._roll_out(rollout, release, progress)
        elif progress.is_live:
            services.complete_release(release=release)
            if release.state == Release.State.FAILED:
                _log_failed(release, reason=release.error)
                return
            logger.info(
                "live release=%d arm=%s reached=%d", release.pk, release.arm, progress.reached
            )
        elif progress.fault:
            fail(release, reason=progress.fault)
        else:
            services.note_progress(release=release, progress=progress.text)

    def _roll_out(self, rollout: Rollout, release: Release, progress: Progress) -> None:
        """Begin a rollout once its replicas are ready; its gates take it on from there."""
        if rollout.state != Rollout.State.PLANNED:
            why = rollout.reason or rollout.evidence.get("waits", "")
            text = f"{services.words_of(rollout)}: {why}".rstrip(": ")
            services.note_progress(release=release, progress=text)
        elif progress.is_live and (missing := _approvals_missing(rollout)):
            services.note_progress(release=release, progress=f"waits for {missing} more approvals")
        elif progress.is_live:
            services.begin_rollout(rollout, now=timezone.now())
        else:
            services.note_progress(release=release, progress=progress.text)

    def _progress(self, release: Release, *, cluster: Cluster) -> Progress:
        version, now, views = release.target, cluster.now, cluster.views
        own = [
            record
            for record in cluster.records
            if (record.version_id, record.generation) == (version.pk, version.generation)
            and record.is_supply
        ]
        ready = [record for record in own if record.state is ReplicaState.READY]
        begun = [record for record in own if record.state is ReplicaState.LOADING]
        loading = [record for record in begun if not record.preparing]
        missing = len(own) < max(1, version.replicas)
        failures = self._failures.by_host(version.pk)
        ages, name = self._ages, f"release {release.pk}"
        return Progress(
            wanted=version.replicas,
            present=len(own),
            ready=len(ready),
            reached=reached([record.id for record in ready], views=views),
            webs=len(views),
            failures=_least(failures, hosts=cluster.hosts(version.device)),
            age_s=ages.of(name, now=now),
            load_error=version.load_error,
            no_slot=cluster.no_slot(version.device) if missing else "",
            remedy=REMEDIES[version.device],
            load_timeout_s=version.load_timeout_s,
            failed="; ".join(on_host.text for on_host in failures.values()),
            loading_s=max(
                (ages.of(f"{record.id} loads", now=now) for record in loading), default=None
            ),
            preparing=next((record.preparing for record in begun if record.preparing), ""),
            obstacle=next(
                (obstacle_text(*obstacle) for obstacle in obstacles(ready, views=views)), ""
            ),
            ready_s=ages.of(f"{name} ready", now=now) if ready else 0.0,
            reached_within_s=settings.CLIPPER_REACHED_S,
        )


def _approvals_missing(rollout: Rollout) -> int:
    """Return how many approvals are missing before its first queries; a shadow answers none."""
    if rollout.plan.shadow_percent:
        return 0
    return services.approvals_of(rollout, of_next_step=True).missing


def _open_releases() -> list[Release]:
    """In their order. Mostly there are none, and to ask for that alone is a fifth of the work."""
    found = Release.objects.open()
    return list(found.with_versions().order_by("pk")) if found.exists() else []


def _least(failures: Mapping[str, HostFailures], *, hosts: Collection[str]) -> int:
    """Return the failures of the host with fewest: a version may yet load there."""
    counts = [failures[host].count if host in failures else 0 for host in hosts]
    return min(counts, default=max((on_host.count for on_host in failures.values()), default=0))


def begin(release: Release, *, failures: FailureCounts) -> None:
    """Let a release's replicas start. It fails where what is known of its version isn't what it has
    to be; nothing happens where it was superseded meanwhile.
    """
    failures.forget([release.target.pk])
    services.begin_release(release=release)
    if release.state == Release.State.FAILED:
        _log_failed(release, reason=release.error)


def fail(release: Release, *, reason: str) -> None:
    """End it with the reason, which may be a model's own words."""
    reason = safe_text(reason, most=REASON_CHARACTERS)
    services.fail_release(release=release, error=reason)
    _log_failed(release, reason=reason)


def _log_failed(release: Release, *, reason: str) -> None:
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
            fail(
                release,
                reason=f"it could not be brought forward, tried {count} times: {explain(error)}",
            )
    else:
        tries.forget(release.pk)
