"""Tells the running system what of the registry changed: one notice in Redis after each commit.

A lost notice costs only time, because every web process also compares itself with the database now
and then.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator
from typing import Any

import redis
from django.db import connection, transaction
from django.db.models import Model as DjangoModel
from django.db.models.signals import m2m_changed, post_delete, post_save

from core.changes import APPLICATION, KEY, MODEL, PRIVATE, RELEASE, REVOKED, VERSION, announce
from core.redis.redis_client import redis_client
from registry.models import (
    ApiKey,
    Application,
    Model,
    ModelVersion,
    Release,
    Route,
    ServiceLevelObjective,
)

Named = Iterator[tuple[str, int]]

logger = logging.getLogger(__name__)


class CommitNotice:
    """What one transaction has changed so far; sent when it commits."""

    def __init__(self) -> None:
        self.ids: defaultdict[str, set[int]] = defaultdict(set)

    def __call__(self) -> None:
        ids = {kind: frozenset(found) for kind, found in self.ids.items()}
        try:
            announce(redis_client(), ids)
        except redis.RedisError as error:
            logger.warning("change notice not sent, web processes will poll: %s", error)


def publish_on_commit(kind: str, ids: Collection[int]) -> None:
    """Announce these rows when the current transaction commits (at once outside of one).

    However many rows a transaction changes, it sends one notice. Of what was rolled back to a
    savepoint it may say too much, which costs those a look who hear it.
    """
    _announce_on_commit((kind, row_id) for row_id in ids)


def _announce_on_commit(named: Named) -> None:
    # A savepoint that is rolled back takes its own entries off this list.
    waiting = [entry[1] for entry in connection.run_on_commit]
    notice = next((entry for entry in waiting if isinstance(entry, CommitNotice)), None)
    fresh = notice or CommitNotice()
    for kind, row_id in named:
        fresh.ids[kind].add(row_id)
    if notice is None:
        transaction.on_commit(fresh)


def _of_application(application: Application) -> Named:
    yield APPLICATION, application.pk
    if not application.public:
        yield PRIVATE, application.pk


def _of_key(key: ApiKey) -> Named:
    yield KEY, key.pk
    if key.revoked_at is not None:
        yield REVOKED, key.pk


# What of the prediction path changes with a row; of the others it knows nothing.
CHANGED_BY: dict[type[DjangoModel], Callable[[Any], Named]] = {
    Application: _of_application,
    ServiceLevelObjective: lambda row: iter([(APPLICATION, row.application_id)]),
    Route: lambda row: iter([(APPLICATION, row.application_id)]),
    Model: lambda row: iter([(MODEL, row.pk)]),
    ModelVersion: lambda row: iter([(VERSION, row.pk)]),
    ApiKey: _of_key,
    Release: lambda row: iter([(RELEASE, row.pk)]),
}


def _row_changed(sender: type[DjangoModel], *, instance: DjangoModel, **kwargs: Any) -> None:
    if sender._meta.app_label == "registry":
        changed = CHANGED_BY.get(sender)
        _announce_on_commit(changed(instance) if changed else iter(()))


def _row_deleted(sender: type[DjangoModel], *, instance: DjangoModel, **kwargs: Any) -> None:
    _row_changed(sender, instance=instance)
    if sender is ApiKey:
        _announce_on_commit(iter([(REVOKED, instance.pk)]))


def _binding_changed(sender: type[DjangoModel], *, instance: DjangoModel, **kwargs: Any) -> None:
    """A key is bound to an application, or is no longer, seen from either of them."""
    if sender is not ApiKey.applications.through:
        return
    if isinstance(instance, ApiKey):
        ids: Collection[int] = {instance.pk}
    elif kwargs["pk_set"] is None:  # all of an application's
        ids = ApiKey.objects.filter(applications=instance.pk).values_list("pk", flat=True)
    else:
        ids = kwargs["pk_set"]
    publish_on_commit(KEY, ids)


def connect() -> None:
    """Publish on every change of a registry row; bulk updates must call `publish_on_commit`."""
    uid = "registry.notices"
    post_save.connect(_row_changed, dispatch_uid=uid)
    post_delete.connect(_row_deleted, dispatch_uid=uid)
    m2m_changed.connect(_binding_changed, dispatch_uid=uid)
