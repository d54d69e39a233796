"""Writes down why a replica failed or ended, also for one that could not say so itself."""

from __future__ import annotations

import logging
import time

import msgspec
import redis
from django.db import DatabaseError, connections

from core.redis.redis_client import redis_client
from registry import services
from registry.restarts import Ending, note_ending
from serving.cluster.failures.counts import FailureCounts
from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.cluster.membership.own import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.container.failures import Failure
from serving.rpc.text import safe_text

# A model's own words, and where in its code.
REASON_CHARACTERS = 4000

logger = logging.getLogger(__name__)


def note_failure(record: ReplicaRecord, *, reason: str) -> None:
    """This replica could not load: hold its version back here for a while and say why."""
    reason = safe_text(reason, most=REASON_CHARACTERS)
    count_failure(redis_client(), record, reason=reason)
    services.note_load_error([record.version_id], error=reason)
    connections.close_all()


def count_failure(
    client: redis.Redis, record: ReplicaRecord, *, reason: str, lasting: bool = False
) -> None:
    """Count an end that its version is to blame for, on its host."""
    FailureCounts(client).note(
        record.version_id,
        host_id=record.host_id,
        host=record.host,
        reason=reason,
        lasting=lasting,
    )
    count_ending(client, record, reason=reason)


def count_ending(client: redis.Redis, record: ReplicaRecord, *, reason: str) -> None:
    """Count an end of whatever cause, once however many notice it."""
    ending = Ending(host=record.host, pid=record.pid, reason=reason)
    note_ending(client, ending, replica_id=record.id, version_id=record.version_id)


def log_end(version_id: int, *, reason: str, replica: str, phase: Phase) -> None:
    """Keep among its version's errors how a replica ended that could not say so itself.

    Raises redis.RedisError.
    """
    failure = Failure(kind=reason, error=reason, traceback="", count=1, last_at=time.time())
    ErrorLog(redis_client()).add(version_id, [failure], phase=phase, replica=replica)


def declare_failed(record: ReplicaRecord, *, reason: str) -> None:
    """Leave a dead replica's record as failed, and its reason with its version."""
    reason = safe_text(reason)
    failed = msgspec.structs.replace(record, state=ReplicaState.FAILED, last_error=reason)
    try:
        own_directory().announce(failed)
        services.note_load_error([record.version_id], error=reason)
    except (redis.RedisError, DatabaseError) as error:
        logger.warning("failure not written down replica=%s: %s", record.id, error)
    finally:
        connections.close_all()  # the forks of this process must not inherit them
