"""Control's part in monitoring: a snapshot of every application's selection, now and then."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import redis
from django.utils import timezone

from core.errors import Unavailable
from core.loop.backoff import Backoff
from core.redis.locks import exclusively
from core.redis.redis_client import redis_client
from core.specs import registered_arms
from registry.following.reading import build_snapshot
from selection.evaluation.counter_deltas import Readings
from selection.evaluation.health.watching import COMPARED, QUERIES, TOO_LATE, all_alarms
from selection.evaluation.monitoring.history import COUNTERS
from selection.evaluation.monitoring.snapshots import (
    ObservedApplication,
    take_snapshots,
    thin_snapshots,
)
from selection.store.health_alarms import publish_alarms
from selection.store.learned_contexts import describe_all
from serving.metrics.published import read_published

LOCK = "clipper:lock:snapshots"
# Of its own: both rounds begin at the same moment, and one snapshot in six would be left out.
THINNING_LOCK = "clipper:lock:thinning"

logger = logging.getLogger(__name__)


def snapshot_selection() -> int:
    """Take a snapshot of each application where something changed; return how many there were."""
    try:
        with exclusively(LOCK, ttl_s=60.0) as lock:
            return 0 if lock is None else _snapshots()
    except (redis.RedisError, Unavailable) as error:
        logger.warning("no snapshots of selection without Redis: %s", error)
        return 0


def thin_selection_history() -> int:
    """Merge the snapshots that have grown old; return how many rows have gone."""
    with exclusively(THINNING_LOCK, ttl_s=60.0) as lock:
        if lock is None:
            return 0
        now = timezone.now()
        applications = build_snapshot().applications.values()
        gone = sum(thin_snapshots(application.id, now=now) for application in applications)
    if gone:
        logger.info("old snapshots of selection merged rows=%d", gone)
    return gone


def _snapshots() -> int:
    routed = [(spec, arms) for spec, arms in registered_arms(build_snapshot()) if arms]
    documents = read_published(redis_client())
    states = describe_all(redis_client(), routed)
    now = timezone.now()
    observed = [
        ObservedApplication(
            application=application,
            state=state,
            readings=readings_of(documents, application=application.name),
            weights=weights,
            health_readings=health_readings_of(
                documents, application=application.name, arms=weights
            ),
        )
        for (application, weights), state in zip(routed, states, strict=True)
    ]
    taken = take_snapshots(observed, now=now, pause=Backoff())
    publish_alarms(redis_client(), all_alarms())
    return len(taken)


def readings_of(documents: Iterable[Mapping[str, Any]], *, application: str) -> Readings:
    """Return what each web process has counted of an application's arms."""
    return {
        document["id"]: {
            arm: [counts[name] for name in COUNTERS]
            for arm, counts in document["applications"][application].get("arms", {}).items()
        }
        for document in documents
        if application in document["applications"]
    }


def health_readings_of(
    documents: Iterable[Mapping[str, Any]], *, application: str, arms: Iterable[str]
) -> Readings:
    """Return what health checks read of each web process.

    Of the application its counters; of each arm how many calls waited and how many batches were
    sent, with their time.
    """
    arms = tuple(arms)
    return {
        document["id"]: {
            **_counters(document["applications"].get(application, {})),
            **{
                arm: [*_counted(version["queue_seconds"]), *_counted(version["batch_seconds"])]
                for arm in arms
                if (version := document["versions"].get(arm)) is not None
            },
        }
        for document in documents
    }


def _counters(of_application: Mapping[str, Any]) -> dict[str, list[int]]:
    """Return its counters as the checks name them; processes of an older release lack some."""
    names = {
        TOO_LATE: ("labels_too_late",),
        QUERIES: ("queries",),
        COMPARED: ("compared", "disagreed"),
    }
    return {
        reading: [of_application.get(name, 0) for name in counters]
        for reading, counters in names.items()
        if of_application
    }


def _counted(histogram: Mapping[str, Any]) -> tuple[int, int]:
    """Return how often and for how many microseconds."""
    return sum(histogram["counts"]), round(histogram["total"] * 1e6)
