"""Writes down why a replica failed or ended, also for one that could not say so itself."""

import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec
import redis
from django.db import DatabaseError, connections

from core.redis.redis_client import redis_client
from registry import services
from registry.models import AuditEntry, ModelVersion
from registry.releases.restarts import Ending, note_ending
from serving.cluster.failures.error_log import ErrorLog, Phase
from serving.cluster.failures.failure_counts import FailureCounts
from serving.cluster.membership.directory import own_directory
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.container.failures.recent_failures import Failure
from serving.rpc.connection import remove_socket
from serving.rpc.text import safe_text

# A model's own words, and where in its code.
REASON_CHARACTERS = 4000

logger = logging.getLogger(__name__)


def note_failure(record: ReplicaRecord, *, reason: str) -> None:
    """This replica could not load: hold its version back here for a while and say why."""
    reason = safe_text(reason, most=REASON_CHARACTERS)
    count_failure(record, reason=reason)
    services.note_load_error([record.version_id], error=reason)
    connections.close_all()


def count_failure(record: ReplicaRecord, *, reason: str, lasting: bool = False) -> None:
    """Count an end that its version is to blame for, on its host."""
    FailureCounts(redis_client()).note(
        record.version_id,
        host_id=record.host_id,
        host=record.host,
        reason=reason,
        lasting=lasting,
    )
    count_ending(record, reason=reason)


def count_ending(record: ReplicaRecord, *, reason: str) -> None:
    """Count an end of whatever cause."""
    ending = Ending(host=record.host, pid=record.pid, reason=reason)
    if note_ending(redis_client(), ending, replica_id=record.id, version_id=record.version_id):
        _record_crash(record, reason=reason)


def _record_crash(record: ReplicaRecord, *, reason: str) -> None:
    loading = record.state is ReplicaState.LOADING
    try:
        record_replica(
            record,
            action=AuditEntry.Action.CRASH,
            changes={"replica": ["loading" if loading else "serving", "ended"]},
            reason=f"{safe_text(reason, most=REASON_CHARACTERS)} (on {record.host})",
        )
    finally:
        connections.close_all()  # the forks of this process must not inherit them


def record_replica(
    record: ReplicaRecord, *, action: str, changes: Mapping[str, Any], reason: str
) -> None:
    """Record what happened to a replica in the timeline, if the database can be written."""
    models = ModelVersion.objects.filter(pk=record.version_id).values_list("model_id", flat=True)
    try:
        services.record_event(
            action=action,
            kind="model version",
            name=f"{record.model}:{record.version}",
            model_id=models.first(),
            object_id=record.version_id,
            changes=changes,
            reason=reason,
        )
    except DatabaseError as error:
        logger.warning("%s not in the timeline replica=%s: %s", action, record.id, error)


def log_end(record: ReplicaRecord, *, reason: str) -> None:
    """Keep among its version's errors how a replica ended that could not say so itself.

    Raises redis.RedisError.
    """
    phase = Phase.LOAD if record.state is ReplicaState.LOADING else Phase.SERVE
    failure = Failure(kind=reason, error=reason, traceback="", count=1, last_at=time.time())
    ErrorLog(redis_client()).add(record.version_id, [failure], phase=phase, replica=record.id)


def declare_failed(record: ReplicaRecord, *, reason: str) -> None:
    """Leave a dead replica's record as failed, and its reason with its version."""
    reason = safe_text(reason)
    try:
        own_directory().announce(_failed(record, reason=reason))
        services.note_load_error([record.version_id], error=reason)
    except (redis.RedisError, DatabaseError) as error:
        logger.warning("failure not written down replica=%s: %s", record.id, error)
    finally:
        connections.close_all()  # the forks of this process must not inherit them


def note_death(record: ReplicaRecord, *, reason: str) -> None:
    """The process of this replica has ended by itself: say how, and count it.

    If it still loaded, that is the model's doing: code that isn't Python crashed, or something
    called exit. One that served is replaced at once, and its version not held back.
    Web processes learn of that by its record: a process that it has forked may hold its connections
    open. Raises redis.RedisError.
    """
    logger.warning("died replica=%s pid=%d: %s", record.id, record.pid, reason)
    if record.address:  # one that still loads has none yet
        remove_socket(record.address)
    if record.state is ReplicaState.LOADING:
        count_failure(record, reason=reason)
        declare_failed(record, reason=reason)
    else:
        count_ending(record, reason=reason)
        own_directory().bury(_failed(record, reason=reason))


def _failed(record: ReplicaRecord, *, reason: str) -> ReplicaRecord:
    return msgspec.structs.replace(record, state=ReplicaState.FAILED, last_error=reason)
