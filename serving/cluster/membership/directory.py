"""The directory of live replicas in Redis, with their addresses and states."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple, cast

import msgspec
from django.conf import settings

from core.redis.expiring_keys import ExpiringKeys
from core.redis.redis_client import redis_client
from serving.cluster.membership.records import ReplicaRecord, ReplicaState
from serving.cluster.membership.seals import Seal

if TYPE_CHECKING:
    import redis
    import redis.asyncio

RECORD_KEY = "clipper:replica:"
INDEX_KEY = "clipper:replicas"
REPLICAS = ExpiringKeys(index=INDEX_KEY, prefix=RECORD_KEY)
DRAIN_KEY = "clipper:drain:"
REPLICAS_CHANNEL = "clipper:replicas:changes"

HEARTBEAT_S = 1.0
RECORD_TTL_S = 3.0

NOT_OURS = "its record was not written by this stack: the seal does not fit"

logger = logging.getLogger(__name__)


class Listing(NamedTuple):
    """The records that this stack wrote, and those that it didn't."""

    records: list[ReplicaRecord]
    refused: list[ReplicaRecord]


_decoder = msgspec.json.Decoder(ReplicaRecord)


class Directory:
    """The directory as Celery's processes use it: blocking, raises redis.RedisError."""

    def __init__(self, client: redis.Redis, *, seal: Seal) -> None:
        self._redis = client
        self._seal = seal

    def read(self) -> list[ReplicaRecord]:
        """Return every record that this stack wrote, in no order."""
        return self.look().records

    def look(self) -> Listing:
        """Return every record, in no order."""
        return _listed(REPLICAS.read(self._redis), seal=self._seal)

    def enqueue(self, record: ReplicaRecord) -> None:
        """Write a queued record; it stays until it is claimed or dropped."""
        self._write(record, ttl_s=None, publish=True)

    def find(self, replica_id: str) -> ReplicaRecord | None:
        text = cast("bytes | None", self._redis.get(RECORD_KEY + replica_id))
        listing = _listed([] if text is None else [text], seal=self._seal)
        return next(iter(listing.records), None)

    def claim(self, record: ReplicaRecord) -> bool:
        """Replace a queued record by its replica's own; False where it was dropped meanwhile."""
        claimed = self._redis.set(
            RECORD_KEY + record.id,
            self._sealed(record),
            xx=True,
            px=int(RECORD_TTL_S * 1000),
        )
        if claimed:
            self.announce(record)
        return bool(claimed)

    def beat(self, record: ReplicaRecord) -> None:
        """Renew a record quietly."""
        self._write(record, ttl_s=RECORD_TTL_S, publish=False)

    def announce(self, record: ReplicaRecord) -> None:
        """Write a record in a new state and tell everyone; a failed one stays for a minute."""
        failed = record.state is ReplicaState.FAILED
        self._write(record, ttl_s=60.0 if failed else RECORD_TTL_S, publish=True)

    def bury(self, record: ReplicaRecord) -> None:
        """Tell everyone that a replica is dead: listed as failed as long as it takes to be seen."""
        self._write(record, ttl_s=RECORD_TTL_S, publish=True)

    def remove(self, ids: Iterable[str]) -> None:
        with self._redis.pipeline() as pipe:
            for replica_id in ids:
                REPLICAS.remove(pipe, replica_id)
                pipe.delete(DRAIN_KEY + replica_id)
                pipe.publish(REPLICAS_CHANNEL, replica_id)
            pipe.execute()

    def forget_expired(self) -> None:
        """Drop index entries whose records have expired."""
        REPLICAS.forget_gone(self._redis)

    def ask_to_drain(self, ids: Iterable[str]) -> None:
        with self._redis.pipeline() as pipe:
            for replica_id in ids:
                pipe.set(DRAIN_KEY + replica_id, 1, ex=60)
            pipe.execute()

    def asked_to_drain(self, ids: Sequence[str]) -> frozenset[str]:
        """Return those of `ids` that have been asked to drain."""
        if not ids:
            return frozenset()
        flags = cast(
            "list[bytes | None]", self._redis.mget([DRAIN_KEY + replica_id for replica_id in ids])
        )
        return frozenset(
            replica_id for replica_id, flag in zip(ids, flags, strict=True) if flag is not None
        )

    def _write(self, record: ReplicaRecord, *, ttl_s: float | None, publish: bool) -> None:
        with self._redis.pipeline() as pipe:
            REPLICAS.write(pipe, record.id, text=self._sealed(record), ttl_s=ttl_s)
            if publish:
                pipe.publish(REPLICAS_CHANNEL, record.id)
            pipe.execute()

    def _sealed(self, record: ReplicaRecord) -> bytes:
        return msgspec.json.encode(self._seal.put_on(record))


def own_directory() -> Directory:
    """Return the directory of the stack that this process belongs to, by its settings."""
    return Directory(redis_client(), seal=Seal(settings.CLIPPER_CLUSTER_SECRET.encode()))


async def read_directory(client: redis.asyncio.Redis, *, seal: Seal) -> Listing:
    """Return every record, in no order, for a web process's event loop."""
    return _listed(await REPLICAS.read_async(client), seal=seal)


def _listed(texts: Iterable[bytes], *, seal: Seal) -> Listing:
    listing = Listing(records=[], refused=[])
    for text in texts:
        try:
            record = _decoder.decode(text)
            if seal.fits(record):
                listing.records.append(msgspec.structs.replace(record, seal=""))
            else:
                listing.refused.append(_refused(record))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Written by another release of Clipper: it expires with its replica.
            logger.warning("replica record not understood: %s", error)
    return listing


def _refused(record: ReplicaRecord) -> ReplicaRecord:
    return msgspec.structs.replace(record, state=ReplicaState.REFUSED, last_error=NOT_OURS, seal="")
