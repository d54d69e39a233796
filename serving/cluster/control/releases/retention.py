"""Retention of versions: the old ones that nothing asks any more are deleted."""

from django.conf import settings

from registry import services
from registry.models import ModelVersion
from serving.capture.models import TrafficReplay


def prune_old_versions(
    *, kept: int | None = None, by: services.Actor = services.SYSTEM, dry_run: bool = False
) -> list[ModelVersion]:
    """Delete versions as CLIPPER_VERSIONS_KEPT says, or `kept`; return what was deleted."""
    replayed = TrafficReplay.objects.filter(state__in=TrafficReplay.OPEN).values("version")
    kept = settings.CLIPPER_VERSIONS_KEPT if kept is None else kept
    return services.prune_versions(kept=kept, but=replayed, by=by, dry_run=dry_run)
