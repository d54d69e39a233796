"""Seals of the directory's records, which only the stack's own processes can make.

Anyone who can write into Redis, as a model's code may if Redis has no password, could list a
replica of its own and be sent the queries of others. The secret of the seals is kept from models.
"""

import hmac
import logging
from collections.abc import Iterable

import msgspec

from serving.cluster.membership.records import ReplicaRecord
from serving.rpc.text import safe_text

# One secret, a key of its own for each use.
PURPOSE = b"clipper.directory.1"
# With another address, process or state it is another record. Figures and times may change.
SEALED = (
    "id",
    "model",
    "version",
    "version_id",
    "generation",
    "state",
    "host",
    "host_id",
    "pid",
    "device",
    "queue",
    "address",
)

logger = logging.getLogger(__name__)


class Seal:
    """Makes and checks the seals of one stack, all of whose hosts have the same secret."""

    def __init__(self, secret: bytes) -> None:
        self._key = hmac.digest(secret, PURPOSE, "sha256")

    def put_on(self, record: ReplicaRecord) -> ReplicaRecord:
        return msgspec.structs.replace(record, seal=self._of(record))

    def fits(self, record: ReplicaRecord) -> bool:
        return hmac.compare_digest(record.seal.encode(), self._of(record).encode())

    def _of(self, record: ReplicaRecord) -> str:
        sealed = msgspec.json.encode([getattr(record, field) for field in SEALED])
        return hmac.digest(self._key, sealed, "sha256").hex()


class Refusals:
    """Records that one process passed over: each is counted and logged once while it is there."""

    def __init__(self) -> None:
        self.count = 0
        self._known: frozenset[tuple[str, str]] = frozenset()

    def note(self, refused: Iterable[ReplicaRecord]) -> None:
        found = frozenset((record.id, record.address) for record in refused)
        for replica_id, address in sorted(found - self._known):
            self.count += 1
            logger.warning(
                "replica record refused, its seal does not fit: replica=%s address=%s",
                safe_text(replica_id),
                safe_text(address),
            )
        self._known = found
