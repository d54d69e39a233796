"""Builds what a console process has beside Django from Django's settings."""

from functools import partial

from django.conf import settings

from clipper_site.asgi.web_process import with_fresh_connection
from core.changes import CHANGES_CHANNEL
from registry.artifacts.artifact_store import ArtifactStore
from registry.artifacts.tokens import ArtifactTokens
from registry.following.reading import last_number
from registry.models import ModelVersion
from serving.endpoints.console.artifact_downloads import ArtifactDownloads
from serving.metrics.masters import read_masters
from serving.metrics.published import ArtifactCounts
from serving.web.console import ConsoleRuntime, ConsoleSpec


def new_console() -> ConsoleRuntime:
    """Return a runtime that is not started yet. Call it on the event loop that will run it."""
    return ConsoleRuntime(
        ConsoleSpec(
            redis_url=settings.REDIS_URL,
            registry_channel=CHANGES_CHANNEL,
            read_arms=with_fresh_connection(_arms),
            last_change=with_fresh_connection(last_number),
            read_masters=partial(read_masters, settings.CLIPPER_RUN_DIR),
        )
    )


def artifact_downloads(counts: ArtifactCounts) -> ArtifactDownloads:
    """Return what hands artifacts out to the other hosts of the cluster."""
    return ArtifactDownloads(
        tokens=ArtifactTokens(settings.CLIPPER_CLUSTER_SECRET.encode()),
        file_of=ArtifactStore.default().file_of,
        at_once=settings.CLIPPER_ARTIFACTS_AT_ONCE,
        counts=counts,
    )


def _arms() -> dict[int, str]:
    """Return the names of all versions by their ids."""
    rows = ModelVersion.objects.values_list("pk", "model__name", "version")
    return {version_id: f"{model}:{version}" for version_id, model, version in rows}
