"""Moves the number of replicas of versions with autoscaling to where their load wants it."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from django.db.models import F, Min, Q

from registry import services
from registry.models import ModelVersion, Release, Route
from registry.models.release import wanted
from registry.releases.slots import known_slots, most_replicas
from serving.cluster.control.scaling.autoscaler import Autoscaler, Decision, Situation
from serving.cluster.control.scaling.version_load import reading_of
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.metrics.published import read_published

if TYPE_CHECKING:
    import redis

logger = logging.getLogger(__name__)


class Scaling:
    """One process's autoscalers, one for each version; only one round may run at a time."""

    def __init__(self, client: redis.Redis) -> None:
        self._redis = client
        self._autoscalers: dict[int, Autoscaler] = {}

    def run(self, *, records: Iterable[ReplicaRecord], now: float) -> None:
        """Do one round: read what the web processes count, and scale what that calls for."""
        versions = _autoscaled(now=now)
        known = {version.pk for version in versions}
        self._autoscalers = {pk: self._autoscalers.get(pk) or Autoscaler() for pk in known}
        if not versions:
            return
        published = read_published(self._redis)
        ready = Counter(
            (r.version_id, r.generation) for r in records if r.state is ReplicaState.READY
        )
        budgets = _budgets(versions)
        for version in versions:
            decision = self._autoscalers[version.pk].decide(
                reading_of(str(version), published=published),
                situation=_situation(
                    version,
                    ready=ready[version.pk, version.generation],
                    budget_s=budgets.get(version.pk),
                ),
                now=now,
            )
            if decision is not None:
                self._scale(version, decision)

    def _scale(self, version: ModelVersion, decision: Decision) -> None:
        decision = self._within_room(version, decision)
        scaled = services.autoscale(
            version_id=version.pk,
            replicas=decision.replicas,
            seen=version.replicas,
            reason=decision.reason,
        )
        if scaled:
            change = (version, version.replicas, decision.replicas, decision.reason)
            logger.info("autoscaled arm=%s from=%d to=%d: %s", *change)

    def _within_room(self, version: ModelVersion, decision: Decision) -> Decision:
        """Bound a decision to add replicas by the slots that the last round found."""
        slots = known_slots(version.device) if decision.replicas > version.replicas else None
        if slots is None or not slots.total:
            return decision
        most = max(version.replicas, most_replicas(version, slots=slots))
        return replace(decision, replicas=min(decision.replicas, most))


def _autoscaled(*, now: float) -> list[ModelVersion]:
    """Return the versions to scale: asked ones, not while a release of their model starts."""
    if not ModelVersion.objects.filter(max_replicas__isnull=False).exists():
        return []
    starting = Release.objects.filter(state=Release.State.STARTING).values("model")
    asked = Q(model__live_version_id=F("pk")) | Q(pinning_routes__isnull=False)
    versions = wanted(ModelVersion.objects.all(), now=datetime.fromtimestamp(now, tz=UTC))
    found = versions.filter(asked, max_replicas__isnull=False).exclude(model__in=starting)
    return list(found.order_by("pk").distinct())


def _budgets(versions: Sequence[ModelVersion]) -> dict[int, float]:
    """The tightest objective (seconds) of the applications that ask each version."""
    routes = Route.objects.filter(model__in={version.model_id for version in versions})
    tightest = (
        routes.order_by()
        .values(asked=F("pinned_version"), live=F("model__live_version"))
        .annotate(slo_ms=Min("application__slo__latency_ms"))
    )
    budgets: dict[int, float] = {}
    for row in tightest:
        version_id, slo_ms = row["asked"] or row["live"], row["slo_ms"]
        if version_id is not None and slo_ms is not None:
            budgets[version_id] = min(slo_ms / 1e3, budgets.get(version_id, slo_ms / 1e3))
    return budgets


def _situation(version: ModelVersion, *, ready: int, budget_s: float | None) -> Situation:
    fewest, most = version.replica_bounds or (version.replicas, version.replicas)
    return Situation(
        wanted=version.replicas, ready=ready, fewest=fewest, most=most, budget_s=budget_s
    )
