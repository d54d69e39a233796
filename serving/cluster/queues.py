"""The queues in which tasks of replicas wait: one for each kind of device."""

from __future__ import annotations

REPLICA_QUEUES = "replicas."


def queue_of(device: str) -> str:
    return REPLICA_QUEUES + device
