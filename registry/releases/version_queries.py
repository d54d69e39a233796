"""Queries over versions and their releases."""

from datetime import datetime

from django.db.models import Exists, F, OuterRef, Q, QuerySet, Subquery

from registry.models import ModelVersion, Release


def wanted(
    versions: QuerySet[ModelVersion], *, now: datetime, warm: bool = True
) -> QuerySet[ModelVersion]:
    """Return those that should have replicas: live, pinned, starting or warm."""
    pinned = ModelVersion.objects.filter(pinning_routes__isnull=False).values("pk")
    starting = Release.objects.filter(state=Release.State.STARTING).values("version")
    return versions.filter(
        Q(model__live_version_id=F("pk"))
        | (Q(warm_until__gt=now) if warm else Q())
        | Q(pk__in=pinned)
        | Q(pk__in=starting)
    ).select_related("model")


def earlier(versions: QuerySet[ModelVersion]) -> QuerySet[ModelVersion]:
    """Return versions to go back to, latest first; after all others those that a rollback left."""
    lived = Release.objects.filter(version=OuterRef("pk"), live_at__isnull=False)
    last = lived.order_by("-live_at", "-pk")[:1]
    left = Release.objects.filter(
        previous_version=OuterRef("pk"),
        pk__gt=OuterRef("last_release"),
        kind=Release.Kind.ROLLBACK,
        live_at__isnull=False,
    )
    return (
        versions.exclude(model__live_version_id=F("pk"))
        .annotate(
            last_live_at=Subquery(last.values("live_at")),
            last_release=Subquery(last.values("pk")),
        )
        .filter(last_release__isnull=False)
        .annotate(rolled_back=Exists(left))
        .order_by("rolled_back", "-last_live_at", "-last_release")
        .select_related("model", "created_by")
    )
