"""The facts that rules are asked about, from the registry, the traffic's history and Redis."""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache, partial
from time import monotonic
from typing import Any

import redis
from django.conf import settings
from django.db.models import Q, Sum
from django.utils.timezone import now as clock

from core.redis.redis_client import redis_client
from core.specs import arms_of
from registry.artifacts.disk_space import free_bytes
from registry.following.reading import build_snapshot
from registry.models import Release, Rollout, ServiceLevelObjective
from registry.releases.restarts import read_restarts
from registry.services import SYSTEM
from selection.evaluation.health.watching import all_findings
from serving.alerts.alert_rules import ApplicationFacts, StackFacts, VersionFacts
from serving.alerts.burn_rates import BadShare
from serving.alerts.live_counts import LiveCounts
from serving.cluster.failures.failure_counts import failure_texts
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaState
from serving.metrics.published import read_published
from serving.traffic.models import TrafficRow
from serving.traffic.outcome_counts import BAD

WINDOWS_S = {"1h": 3600.0, "1d": 86_400.0, "7d": 7 * 86_400.0, "28d": 28 * 86_400.0}
# A release that ended badly is news for this long.
NEWS = timedelta(hours=1)


def stack_facts() -> StackFacts:
    """Look at the disk and at Redis, which may be away."""
    error, used = "", 0.0
    try:
        memory: Any = redis_client().info("memory")
        used = memory["used_memory"] / memory["maxmemory"] if memory["maxmemory"] else 0.0
    except redis.RedisError as away:
        error = str(away)[:200]
    return StackFacts(
        free_bytes=free_bytes(settings.CLIPPER_VAR),
        reserve_bytes=settings.CLIPPER_MIN_FREE_BYTES,
        redis_error=error,
        redis_used=used,
    )


def application_facts(live: LiveCounts, *, now: float) -> list[ApplicationFacts]:
    """Look at every application; `now` is monotonic. Raises redis.RedisError."""
    snapshot = build_snapshot()
    live.look(read_published(redis_client()), now=now)
    lives = {model.id: model.live_version_id for model in snapshot.models.values()}
    arms = {
        application.id: [
            arm.version.id for arm in arms_of(application, versions=snapshot.versions, live=lives)
        ]
        for application in snapshot.applications.values()
    }
    asked = [snapshot.versions[number] for number in {n for found in arms.values() for n in found}]
    ready = Counter(r.version_id for r in own_directory().read() if r.state is ReplicaState.READY)
    restarts = read_restarts(redis_client(), [version.id for version in asked])
    bad = [v.id for v in asked if ready[v.id] < v.replicas or v.id in restarts]
    problems, lately = failure_texts(redis_client(), bad), live.versions()
    versions = {
        version.id: VersionFacts(
            spec=version,
            ready=ready[version.id],
            problem=problems.get(version.id, ""),
            loops=version.id in restarts and restarts[version.id].is_loop,
            **lately.get(version.arm, {}),
        )
        for version in asked
    }
    windows = dict(ServiceLevelObjective.objects.values_list("application", "window"))
    held = {r.model_id: r for r in Rollout.objects.wanting_somebody().with_release()}
    passed_over = Rollout.objects.filter(ended_at__gt=clock() - NEWS).exclude(bypassed_by="")
    bypassed = {r.model_id: r for r in passed_over.with_release()}
    health, releases = all_findings(), _ended_badly(since=clock() - NEWS)
    return [
        ApplicationFacts(
            id=application.id,
            slo_ms=application.slo_ms,
            target=application.slo_target,
            period_s=WINDOWS_S[windows.get(application.id, "28d")],
            versions=[versions[number] for number in arms[application.id]],
            unanswered=live.unanswered(application.name, now=now),
            within=partial(counted_within, application.id),
            health=health.get(application.name, {}),
            held=[held[r.model_id] for r in application.routes if r.model_id in held],
            bypassed=[bypassed[r.model_id] for r in application.routes if r.model_id in bypassed],
            releases=[releases[r.model_id] for r in application.routes if r.model_id in releases],
        )
        for application in snapshot.applications.values()
    ]


def counted_within(application: int, seconds: float) -> BadShare:
    """Return the bad queries of all that the history has within the last seconds.

    The longer the period, the longer its counts are good enough.
    """
    return _counted(application, seconds, int(monotonic() / max(10.0, seconds / 360)))


@lru_cache(maxsize=4096)
def _counted(application: int, seconds: float, turn: int) -> BadShare:
    rows = TrafficRow.objects.filter(
        application=application, at__gte=clock() - timedelta(seconds=seconds)
    )
    sums = rows.aggregate(**{name: Sum(name, default=0) for name in ("good", *BAD)})
    bad = sum(sums[name] for name in BAD)
    return BadShare(bad, bad + sums["good"])


def _ended_badly(*, since: datetime) -> Mapping[int | None, Release]:
    """Return, by model, its newest release if that failed lately, or if Clipper went back."""
    lately = Release.objects.filter(Q(ended_at__gt=since) | Q(live_at__gt=since)).order_by("id")
    newest = {release.model_id: release for release in lately}
    return {
        model: release
        for model, release in newest.items()
        if release.state == Release.State.FAILED
        or (release.kind == Release.Kind.ROLLBACK and release.by_label == SYSTEM.label)
    }
