"""Builds the serving runtime from Django's settings: the one place where the two meet."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from django.conf import settings
from django.db import close_old_connections, connection

from registry.artifacts.store import ArtifactStore
from registry.artifacts.tokens import ArtifactTokens
from registry.changes import CHANGES_CHANNEL
from registry.snapshot import build_snapshot
from selection.receipts import FormerSecret, derive_key
from serving.api.artifacts import ArtifactDownloads
from serving.api.limits import Limits
from serving.engine.engine import EngineSpec
from serving.metrics.artifacts import ArtifactCounts
from serving.rpc.credentials import Credentials, web_tls
from serving.web.runtime import Runtime, RuntimeSpec

T = TypeVar("T")


def new_runtime() -> Runtime:
    """Return a runtime that is not started yet. Call it on the event loop that will run it."""
    return Runtime(
        RuntimeSpec(
            redis_url=settings.REDIS_URL,
            redis_replicas=settings.CLIPPER_REDIS_REPLICAS,
            registry_channel=CHANGES_CHANNEL,
            receipt_secret=derive_key(settings.SECRET_KEY),
            former_receipt_secret=former_secret(),
            engine=EngineSpec(
                cache_bytes=settings.CLIPPER_CACHE_BYTES,
                queue_capacity=settings.CLIPPER_QUEUE_CAPACITY,
                queue_bytes=settings.CLIPPER_QUEUE_BYTES,
            ),
            credentials=web_credentials(),
            max_body_bytes=settings.CLIPPER_MAX_BODY_BYTES,
            outputs_bytes=settings.CLIPPER_OUTPUTS_BYTES,
            contexts_at_hand=settings.CLIPPER_CONTEXTS_AT_HAND,
            read_snapshot=with_fresh_connection(build_snapshot),
            check_database=with_fresh_connection(_select_one),
        )
    )


def former_secret() -> FormerSecret | None:
    """Return what signed receipts before the present key did, where that is still known."""
    changed_at = settings.SECRET_KEY_CHANGED_AT
    if not settings.SECRET_KEY_PREVIOUS or changed_at is None:
        return None
    return FormerSecret(
        key=derive_key(settings.SECRET_KEY_PREVIOUS), until_ms=int(changed_at.timestamp() * 1000)
    )


def new_limits() -> Limits:
    """Return the limits of what clients of this web process may take; it needs them once."""
    return Limits(
        head_s=settings.CLIPPER_HEAD_TIMEOUT_S,
        body_s=settings.CLIPPER_BODY_TIMEOUT_S,
        body_rate=settings.CLIPPER_BODY_RATE,
        authentication_s=settings.CLIPPER_AUTHENTICATION_TIMEOUT_S,
        unfinished_bytes=settings.CLIPPER_UNFINISHED_BYTES,
    )


def artifact_downloads(counts: ArtifactCounts) -> ArtifactDownloads:
    """Return what hands artifacts out to the other hosts of the cluster."""
    return ArtifactDownloads(
        tokens=ArtifactTokens(settings.CLIPPER_CLUSTER_SECRET.encode()),
        file_of=ArtifactStore.default().file_of,
        at_once=settings.CLIPPER_ARTIFACTS_AT_ONCE,
        counts=counts,
    )


def web_credentials() -> Credentials:
    """Return what this web process proves itself with to replicas that it reaches over TCP."""
    authority = settings.CLIPPER_TLS_CA
    return Credentials(
        secret=settings.CLIPPER_CLUSTER_SECRET.encode(),
        tls=web_tls(authority=Path(authority)) if authority else None,
    )


def with_fresh_connection(work: Callable[[], T]) -> Callable[[], T]:
    """Drop a database connection that broke since the thread last used it."""

    def worked() -> T:
        close_old_connections()
        try:
            return work()
        finally:
            close_old_connections()

    return worked


def _select_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
