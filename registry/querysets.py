"""Reusable reads of the registry."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import F, Q

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
        pinned = self.model.objects.filter(pinning_routes__isnull=False).values("pk")
        starting = self.model.objects.filter(releases__state="starting").values("pk")
        return self.filter(
            Q(model__live_version_id=F("pk"))
            | Q(warm_until__gt=now)
            | Q(pk__in=pinned)
            | Q(pk__in=starting)
        ).select_related("model")


class ReleaseQuerySet(models.QuerySet["Release"]):
    def open(self) -> ReleaseQuerySet:
        return self.filter(state__in=("pending", "starting"))

    def live(self) -> ReleaseQuerySet:
        return self.filter(state="live")

    def with_versions(self) -> ReleaseQuerySet:
        return self.select_related("model", "version__model", "previous_version__model", "by")


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, *, now: datetime) -> ApiKeyQuerySet:
        return self.filter(revoked_at__isnull=True).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        )
