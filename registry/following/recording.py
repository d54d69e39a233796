"""Records each change of the registry under the next number, and announces it at the commit."""

import logging
from collections.abc import Callable, Collection
from typing import Any

import redis
from django.db import connection, transaction
from django.db.models import Model as DjangoModel
from django.db.models.signals import m2m_changed, post_save, pre_delete
from django.db.transaction import Atomic

from core.redis.redis_client import redis_client
from core.specs import APPLICATION, CHANGES_CHANNEL, KEY, MODEL, VERSION
from registry.models import (
    ApiKey,
    Application,
    Model,
    ModelVersion,
    RegistryChange,
    Release,
    Route,
    ServiceLevelObjective,
)

logger = logging.getLogger(__name__)


class _RegistryWrite(Atomic):
    """Holds the lock of change numbers from its beginning, so that writers cannot deadlock."""

    def __enter__(self) -> None:
        super().__enter__()
        if connection.vendor == "postgresql":  # SQLite's transactions begin with their own
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [0x636C7070])  # "clpp"


# Use it as a decorator or in a `with` statement, in place of `transaction.atomic`.
registry_write = _RegistryWrite(using=None, savepoint=True, durable=False)


def record_changes(kind: str, ids: Collection[int]) -> None:
    """Record that these rows change; only bulk updates have to call it."""
    with registry_write:
        RegistryChange.objects.filter(kind=kind, row_id__in=ids).delete()
        RegistryChange.objects.bulk_create(
            RegistryChange(kind=kind, row_id=row_id) for row_id in ids
        )
        announce_on_commit()


def announce_on_commit() -> None:
    """Announce a change when the current transaction commits, once for each transaction."""
    # A savepoint that is rolled back takes its own entries off this list.
    if not any(entry[1] is _announce for entry in connection.run_on_commit):
        transaction.on_commit(_announce)


def _announce() -> None:
    try:
        redis_client().publish(CHANGES_CHANNEL, b"")
    except redis.RedisError as error:
        logger.warning("change not announced, web processes will poll: %s", error)


# The followed row that changes with a row of each model.
FOLLOWED: dict[type[DjangoModel], Callable[[Any], tuple[str, int]]] = {
    Application: lambda row: (APPLICATION, row.pk),
    ServiceLevelObjective: lambda row: (APPLICATION, row.application_id),
    Route: lambda row: (APPLICATION, row.application_id),
    Model: lambda row: (MODEL, row.pk),
    ModelVersion: lambda row: (VERSION, row.pk),
    ApiKey: lambda row: (KEY, row.pk),
}


def _row_changed(
    sender: type[DjangoModel], *, instance: DjangoModel, raw: bool = False, **kwargs: Any
) -> None:
    if not raw:  # `loaddata` brings the changes of its rows
        kind, row_id = FOLLOWED[sender](instance)
        record_changes(kind, [row_id])


def _application_deleted(
    sender: type[Application], *, instance: Application, **kwargs: Any
) -> None:
    """Record the keys that were bound to it, too."""
    record_changes(KEY, list(instance.keys.values_list("pk", flat=True)))


def _release_changed(sender: type[Release], **kwargs: Any) -> None:
    """Wake requests that wait for a release; the prediction path knows nothing of it."""
    announce_on_commit()


def _binding_changed(
    sender: type[DjangoModel],
    *,
    instance: DjangoModel,
    action: str,
    pk_set: set[int] | None,
    **kwargs: Any,
) -> None:
    """Record the keys that are bound to an application, or no longer, from either side."""
    if isinstance(instance, ApiKey):
        record_changes(KEY, [instance.pk])
    elif isinstance(instance, Application):
        bound = instance.keys.values_list("pk", flat=True)
        record_changes(KEY, list(bound) if pk_set is None else pk_set)


def connect() -> None:
    """Record every change of a single row."""
    for sender in FOLLOWED:
        for signal in (post_save, pre_delete):
            signal.connect(_row_changed, sender=sender, dispatch_uid="registry.following.recording")
    uid = "registry.following.recording.more"
    pre_delete.connect(_application_deleted, sender=Application, dispatch_uid=uid)
    post_save.connect(_release_changed, sender=Release, dispatch_uid=uid)
    m2m_changed.connect(_binding_changed, sender=ApiKey.applications.through, dispatch_uid=uid)
