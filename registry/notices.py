"""Tells the running system that the registry changed: one notice in Redis after each commit.

A lost notice costs only time, because every web process also looks at the database now and then.
"""

from __future__ import annotations

import logging
from typing import Any

import redis
from django.db import connection, transaction
from django.db.models import Model
from django.db.models.signals import m2m_changed, post_delete, post_save

from infrastructure.redis_client import redis_client

CHANGES_CHANNEL = "clipper:changes"

logger = logging.getLogger(__name__)


def publish_on_commit() -> None:
    """Send one notice when the current transaction commits (at once outside of one).

    However many rows a transaction changes, it sends one.
    """
    # A savepoint that is rolled back takes its own entries off this list.
    if all(waiting[1] is not _publish for waiting in connection.run_on_commit):
        transaction.on_commit(_publish)


def _publish() -> None:
    try:
        redis_client().publish(CHANGES_CHANNEL, "registry")
    except redis.RedisError as error:
        logger.warning("change notice not sent, web processes will poll: %s", error)


def _row_changed(sender: type[Model], **kwargs: Any) -> None:
    if sender._meta.app_label == "registry":
        publish_on_commit()


def connect() -> None:
    """Publish on every change of a registry row; bulk updates must call `publish_on_commit`."""
    for signal in (post_save, post_delete, m2m_changed):
        signal.connect(_row_changed, dispatch_uid="registry.notices")
