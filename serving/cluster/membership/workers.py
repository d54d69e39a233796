"""The Celery workers that take replicas, and their slots: each writes its record every second."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from core.redis.expiring_keys import ExpiringKeys, understood
from serving.cluster.host import host_id

if TYPE_CHECKING:
    import redis

WORKER_KEY = "clipper:worker:"
WORKERS = ExpiringKeys(index="clipper:workers", prefix=WORKER_KEY)
# A busy machine may keep one from saying so for several seconds.
WORKER_TTL_S = 10.0
RETIRE_KEY = "clipper:retire:"


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's main process; `slots` is how many replicas it may be at a time.

    One that is `retiring` takes no more of them, and the control worker moves those that it has.
    """

    id: str
    host: str
    host_id: str
    queue: str
    slots: int
    retiring: bool = False


def worker_id(pid: int) -> str:
    """Return the id of the worker of this host whose main process this is."""
    return f"{host_id()}-{pid}"


_decoder = msgspec.json.Decoder(WorkerRecord)


def announce_worker(client: redis.Redis, worker: WorkerRecord) -> None:
    with client.pipeline() as pipe:
        WORKERS.write(pipe, worker.id, text=msgspec.json.encode(worker), ttl_s=WORKER_TTL_S)
        pipe.execute()


def withdraw_worker(client: redis.Redis, worker: WorkerRecord) -> None:
    """Remove the record of a worker that takes no more replicas."""
    with client.pipeline() as pipe:
        WORKERS.remove(pipe, worker.id)
        pipe.execute()


def read_workers(client: redis.Redis) -> list[WorkerRecord]:
    """Return the workers that live, in the order of their ids."""
    found = understood(WORKERS.read(client), decoder=_decoder, what="worker")
    return sorted(found, key=lambda worker: worker.id)


def ask_to_retire(client: redis.Redis, worker: str, *, seconds: int = 30) -> None:
    """Ask a worker, by its id, to retire, for the next seconds."""
    client.set(RETIRE_KEY + worker, 1, ex=seconds)


def take_back_request(client: redis.Redis, worker: str) -> None:
    """Let a worker take replicas again."""
    client.delete(RETIRE_KEY + worker)


def is_asked_to_retire(client: redis.Redis, worker: str) -> bool:
    return bool(client.exists(RETIRE_KEY + worker))
