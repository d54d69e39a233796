"""Reusable reads of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Max, Q

if TYPE_CHECKING:
    from registry.models import (  # noqa: F401
        ApiKey,
        Application,
        Model,
        ModelVersion,
        Release,
        Route,
    )


class ApplicationQuerySet(models.QuerySet["Application"]):
    def for_snapshot(self) -> ApplicationQuerySet:
        return self.select_related("slo").prefetch_related("routes__model")

    def with_everything(self) -> ApplicationQuerySet:
        return self.select_related("slo").prefetch_related(
            "routes__model__live_version", "routes__pinned_version"
        )


class RouteQuerySet(models.QuerySet["Route"]):
    def with_versions(self) -> RouteQuerySet:
        return self.select_related("model__live_version", "pinned_version")


class ModelQuerySet(models.QuerySet["Model"]):
    def with_live_version(self) -> ModelQuerySet:
        return self.select_related("live_version")

    def with_versions(self) -> ModelQuerySet:
        return self.select_related("live_version").prefetch_related("versions")


class ModelVersionQuerySet(models.QuerySet["ModelVersion"]):
    def wanted(self, *, now: datetime) -> ModelVersionQuerySet:
        """Versions that should have replicas: live, pinned, being released, or still warm."""
        # Here, because the models import this module.
        from registry.models import Release

        pinned = self.model.objects.filter(pinning_routes__isnull=False).values("pk")
        starting = Release.objects.filter(state=Release.State.STARTING).values("version")
        return self.filter(
            Q(model__live_version_id=F("pk"))
            | Q(warm_until__gt=now)
            | Q(pk__in=pinned)
            | Q(pk__in=starting)
        ).select_related("model")

    def earlier(self) -> ModelVersionQuerySet:
        """Versions that were live and aren't now, the most recent first."""
        return (
            self.filter(releases__live_at__isnull=False)
            .exclude(model__live_version_id=F("pk"))
            .annotate(last_live_at=Max("releases__live_at"), last_release=Max("releases__pk"))
            .order_by("-last_live_at", "-last_release")
            .select_related("model", "created_by")
        )


class ReleaseQuerySet(models.QuerySet["Release"]):
    def open(self) -> ReleaseQuerySet:
        return self.filter(state__in=self.model.OPEN)

    def live(self) -> ReleaseQuerySet:
        return self.filter(state=self.model.State.LIVE)

    def last_live_of(self, versions: Iterable[ModelVersion]) -> ReleaseQuerySet:
        """The last release of each of these versions that went live."""
        lived = self.filter(version__in=versions, live_at__isnull=False)
        last = lived.order_by().values("version").annotate(last=Max("pk"))
        return self.filter(pk__in=last.values("last"))

    def with_versions(self) -> ReleaseQuerySet:
        return self.select_related("model", "version__model", "previous_version__model", "by")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, *, now: datetime) -> ApiKeyQuerySet:
        return self.filter(revoked_at__isnull=True).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        )
