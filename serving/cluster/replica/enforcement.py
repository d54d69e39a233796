"""Ends a replica that is over a limit, and says so in its place."""

from __future__ import annotations

import logging
import os
import signal

import redis

from serving.cluster.failures.endings import count_failure, declare_failed, log_end
from serving.cluster.membership.records import ReplicaState
from serving.cluster.replica.watchdog import Violation
from serving.rpc.connection import remove_socket

logger = logging.getLogger(__name__)


def end(violation: Violation) -> None:
    """Kill a replica that is over a limit and say so in its place.

    For its parent alone: a child's id stands for nobody else until the parent has waited for it.
    """
    record, reason, slot = violation
    logger.error("ending replica=%s pid=%d: %s", record.id, record.pid, reason)
    try:
        # First, so that nobody replaces it too soon.
        count_failure(record, reason=reason, lasting=record.state is not ReplicaState.LOADING)
        log_end(record, reason=reason)
    except redis.RedisError as error:
        logger.warning("failure not counted version=%d: %s", record.version_id, error)
    finally:
        os.kill(record.pid, signal.SIGKILL)
        slot.clear()
    if record.address:
        remove_socket(record.address)
    declare_failed(record, reason=reason)
