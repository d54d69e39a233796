"""Reusable reads of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models
from django.db.models import Exists, F, Max, OuterRef, Q, Subquery

if TYPE_CHECKING:
    from registry.models import (  # noqa: F401
        ApiKey,
        Application,
        AuditEntry,
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
        return self.select_related("model__live_version__model", "pinned_version__model")


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
        """Versions that were live and aren't now, in the order in which to go back to them.

        The most recent first, but after all others those that a rollback has left since they were
        live the last time (`rolled_back`): somebody found something wrong with them.
        """
        # Here, because the models import this module.
        from registry.models import Release

        lived = Release.objects.filter(version=OuterRef("pk"), live_at__isnull=False)
        last = lived.order_by("-live_at", "-pk")[:1]
        left = Release.objects.filter(
            previous_version=OuterRef("pk"),
            pk__gt=OuterRef("last_release"),
            kind=Release.Kind.ROLLBACK,
            live_at__isnull=False,
        )
        return (
            self.exclude(model__live_version_id=F("pk"))
            .annotate(
                last_live_at=Subquery(last.values("live_at")),
                last_release=Subquery(last.values("pk")),
            )
            .filter(last_release__isnull=False)
            .annotate(rolled_back=Exists(left))
            .order_by("rolled_back", "-last_live_at", "-last_release")
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


class AuditEntryQuerySet(models.QuerySet["AuditEntry"]):
    def of(self, row: models.Model) -> AuditEntryQuerySet:
        """The entries about one row."""
        return self.filter(kind=str(row._meta.verbose_name), object_id=row.pk)


class ApiKeyQuerySet(models.QuerySet["ApiKey"]):
    def usable(self, *, now: datetime) -> ApiKeyQuerySet:
        return self.filter(revoked_at__isnull=True).filter(
            Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        )
