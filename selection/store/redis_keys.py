"""Names of what selection keeps in Redis, and what it means when Redis is away."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import lru_cache

from redis.exceptions import RedisError, ResponseError

from core.errors import Unavailable
from selection.context_names import GLOBAL_CONTEXT as GLOBAL_CONTEXT
from selection.policies.arithmetic.person_sums import Pair
from selection.policies.arithmetic.sums import Vector

STREAM = "clipper:feedback"
REJECTED_STREAM = "clipper:feedback:rejected"
GROUP = "database"
# Large outputs: what their keys begin with, all by when they expire, and the bytes of all.
OUTPUTS = "clipper:outputs:"
OUTPUTS_INDEX = "clipper:outputs-index"
OUTPUTS_BYTES = "clipper:outputs-bytes"
PERSIST_LOCK = "clipper:feedback:lock"

# Fields of a state's hash: feedback count and queries of an arm; when it last learned, and from
# which entry of the stream; how many arms have sums by person. The others are sums: the name of
# their family, a colon, the arm.
FEEDBACK, QUERIES, UPDATED, POSITION, SUMMED = "n:", "q:", "t", "p", "a"

# A context that was only asked, and has no feedback, holds nothing but counts, and goes much
# sooner.
UNTAUGHT_CONTEXT_TTL_S = 3600

# A context's hash outlives its place among the contexts by so much: an entry names each that goes.
EXPIRY_MARGIN_S = 3600
# Contexts that give way to one piece of feedback, where many are too old or too many.
EVICTED_AT_ONCE = 100

# Raised by redis-py when the server is gone, slow, loading, full or read-only.
REDIS_ERRORS = (RedisError, OSError)


# The prefixes of the keys of states, and of those beside them: hashes of the weights and rewards
# of each group of people, by arm.
STATES, PEOPLE = "clipper:selection:", "clipper:people:"


def state_key(application_id: int, context: str) -> str:
    return f"{STATES}{application_id}:{context}"


def contexts_key(application_id: int) -> str:
    """A sorted set: the contexts that have learned something, by when they were last used."""
    return f"clipper:contexts:{application_id}"


def reliability_key(application_id: int) -> str:
    """A hash: the share of asks that each arm missed lately, of arms that missed any."""
    return f"clipper:reliability:{application_id}"


def seen_key(nonce: str) -> str:
    """Return the mark of a receipt that has counted; its nonce is in hexadecimal digits."""
    return f"clipper:feedback:seen:{nonce}"


def due_key(application_id: int) -> str:
    """A sorted set: receipts without feedback so far, by when their window is over."""
    return f"clipper:due:{application_id}"


def input_sample_key(application_id: int, arm: str) -> str:
    """A list: inputs that are kept, and what this arm answered."""
    return f"clipper:input-sample:{application_id}:{arm}"


def input_sample_bytes_key(application_id: int, arm: str) -> str:
    """The bytes of that list's rows."""
    return f"clipper:input-sample-bytes:{application_id}:{arm}"


def unpack_vector(text: bytes) -> Vector:
    """Read the numbers of an arm: 8-byte floats, little end first, as the script packs them."""
    return _floats(len(text)).unpack(text)


@lru_cache(maxsize=64)
def _floats(size: int) -> struct.Struct:
    return struct.Struct(f"<{size // 8}d")


def pack_vector(vector: Vector) -> bytes:
    return struct.pack(f"<{len(vector)}d", *vector)


def pack_row(row: Mapping[str, Pair]) -> bytes:
    """Return a group's sums as the script packs them: of each arm two floats and its name."""
    return b"".join(
        struct.pack("<ddB", *pair, len(name := arm.encode())) + name for arm, pair in row.items()
    )


@asynccontextmanager
async def redis_needed(*, timeout_s: float = 5.0) -> AsyncIterator[None]:
    """Turn a missing or slow Redis into the error that tells a caller to try again."""
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except REDIS_ERRORS as error:
        what = "refuses to write" if isinstance(error, ResponseError) else "does not answer"
        raise Unavailable(f"Redis {what}; nothing was lost, send it again") from error


@contextmanager
def redis_needed_blocking() -> Iterator[None]:
    """The same for tasks, pages and commands, which may wait."""
    try:
        yield
    except REDIS_ERRORS as error:
        raise Unavailable("Redis does not answer; what was learned is there; try again") from error
