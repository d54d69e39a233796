"""Which Celery workers take replicas, and with how many slots: each says so every second."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import msgspec

from serving.living import forget_gone, read_living

if TYPE_CHECKING:
    import redis

WORKER_KEY = "clipper:worker:"
WORKERS_KEY = "clipper:workers"
WORKER_TTL_S = 5.0

logger = logging.getLogger(__name__)


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
        pipe.set(WORKER_KEY + worker.id, msgspec.json.encode(worker), px=int(WORKER_TTL_S * 1000))
        pipe.zadd(WORKERS_KEY, {worker.id: 0})
        pipe.execute()


def withdraw_worker(client: redis.Redis, worker: WorkerRecord) -> None:
    """It takes no more replicas."""
    with client.pipeline() as pipe:
        pipe.delete(WORKER_KEY + worker.id)
        pipe.zrem(WORKERS_KEY, worker.id)
        pipe.execute()


def read_workers(client: redis.Redis) -> list[WorkerRecord]:
    """Return the workers that live, in the order of their ids."""
    texts = read_living(client, index=WORKERS_KEY, prefix=WORKER_KEY)
    return sorted(_decoded(texts), key=lambda worker: worker.id)


def forget_gone_workers(client: redis.Redis) -> None:
    forget_gone(client, index=WORKERS_KEY, prefix=WORKER_KEY)


def _decoded(texts: Iterable[bytes]) -> Iterator[WorkerRecord]:
    for text in texts:
        try:
            yield _decoder.decode(text)
        except msgspec.MsgspecError as error:
            # Written by another release of Clipper: it expires with its process.
            logger.warning("worker not understood: %s", error)
