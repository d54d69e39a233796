"""Which Celery workers take replicas, and with how many slots: each says so every second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from infrastructure.expiring_keys import ExpiringKeys, understood

if TYPE_CHECKING:
    import redis

WORKER_KEY = "clipper:worker:"
WORKERS = ExpiringKeys(index="clipper:workers", prefix=WORKER_KEY)
WORKER_TTL_S = 5.0


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's main process; `slots` is how many replicas it may be at a time."""

    id: str
    host: str
    host_id: str
    queue: str
    slots: int


_decoder = msgspec.json.Decoder(WorkerRecord)


def announce_worker(client: redis.Redis, worker: WorkerRecord) -> None:
    with client.pipeline() as pipe:
        WORKERS.write(pipe, worker.id, text=msgspec.json.encode(worker), ttl_s=WORKER_TTL_S)
        pipe.execute()


def withdraw_worker(client: redis.Redis, worker: WorkerRecord) -> None:
    """It takes no more replicas."""
    with client.pipeline() as pipe:
        WORKERS.remove(pipe, worker.id)
        pipe.execute()


def read_workers(client: redis.Redis) -> list[WorkerRecord]:
    """Return the workers that live, in the order of their ids."""
    found = understood(WORKERS.read(client), decoder=_decoder, what="worker")
    return sorted(found, key=lambda worker: worker.id)
