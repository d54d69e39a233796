"""Builds what answers queries from Django's settings: the one place where the two meet."""

from pathlib import Path

from django.conf import settings
from django.db import connection

from clipper_site.asgi.web_process import with_fresh_connection, with_kept_connection
from core.specs import CHANGES_CHANNEL
from registry.following.reading import last_number, read_newer, read_piece
from selection.feedback.intake.receipt_signing import former_secret
from selection.receipts import derive_key
from serving.engine.engine import EngineSpec
from serving.rpc.tcp.credentials import Credentials, web_tls
from serving.web.registry_follower import RegistrySource
from serving.web.runtime import Runtime, RuntimeSpec


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
            credentials=Credentials(
                secret=settings.CLIPPER_CLUSTER_SECRET.encode(),
                tls=web_tls(authority=Path(settings.CLIPPER_TLS_CA))
                if settings.CLIPPER_TLS_CA
                else None,
            ),
            max_body_bytes=settings.CLIPPER_MAX_BODY_BYTES,
            outputs_bytes=settings.CLIPPER_OUTPUTS_BYTES,
            contexts_at_hand=settings.CLIPPER_CONTEXTS_AT_HAND,
            console=settings.CLIPPER_CONSOLE_ADDRESS,
            registry=RegistrySource(
                last_number=with_kept_connection(last_number),
                read_newer=with_kept_connection(read_newer),
                read_piece=with_kept_connection(read_piece),
            ),
            check_database=with_fresh_connection(_select_one),
        )
    )


def _select_one() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
