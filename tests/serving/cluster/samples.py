"""Replica records and demands for tests: only what a test is about has to be said."""

from typing import Any

from django.conf import settings

from serving.cluster.control.replica_plan import Demand
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.seals import Seal

SEAL = Seal(settings.CLIPPER_CLUSTER_SECRET.encode())


def a_record(replica_id: str = "r1", **changes: Any) -> ReplicaRecord:
    fields: dict[str, Any] = {
        "id": replica_id,
        "model": "svm",
        "version": "1",
        "version_id": 1,
        "generation": 1,
        "state": ReplicaState.READY,
    }
    return ReplicaRecord(**(fields | changes))


def a_demand(**changes: Any) -> Demand:
    fields: dict[str, Any] = {
        "version_id": 1,
        "model": "svm",
        "version": "1",
        "generation": 1,
        "device": "cpu",
        "replicas": 1,
    }
    return Demand(**(fields | changes))
