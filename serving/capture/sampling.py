"""A sample of a process's queries, on its way to Redis: bounded, redacted, written in bulk."""

from collections import deque
from collections.abc import Callable, Iterable
from itertools import chain
from time import time

import msgspec
from redis.asyncio import Redis

from core.loop.loop_slices import Slice, Turns
from core.specs import ApplicationSpec
from serving.capture.redaction import EVERYTHING, names_in, redacted
from serving.engine.outcome import Outcome
from serving.metrics.outcomes import NO_OUTCOME
from serving.metrics.published import ARM_COUNTERS

STREAM = "clipper:captured"
# Entries that wait for the control worker, and their bytes; beyond them rows are dropped.
ENTRIES, ENTRY_BYTES = 32, 256 << 10
# Rows that wait in one process, and their bytes; a larger row isn't captured.
WAITING_ROWS, WAITING_BYTES, ROW_BYTES = 2000, 8 << 20, 128 << 10
# What a row takes besides its input and outputs, about.
OVERHEAD = 500
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_encode = msgspec.msgpack.Encoder().encode
MISSING = {
    status: name for name in ("late", "failed", "refused") for status in ARM_COUNTERS[name].endings
}


class CapturedQuery(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One sampled query; input and outputs are JSON text. Without a `query_id` it had no answer."""

    application_id: int
    at_ms: int
    chance: float
    query_id: str
    context: str
    input: bytes
    output: bytes
    outputs: dict[str, bytes]
    # By version, why it gave no answer: a key of `ARM_COUNTERS`.
    missing: dict[str, str]
    confidence: float
    # The cause of a default output, or the code of an error.
    cause: str
    latency_ms: float
    # Whom the query was to keep with one version; missing in entries of an earlier release.
    key: str = ""

    @property
    def size(self) -> int:
        return len(self.input) + sum(map(len, self.outputs.values())) + OVERHEAD


class CapturedQueries:
    """The queries that wait to be written; `note_dropped` gets the application of each lost one.

    While it is `paused`, as Redis has no memory left, everything is dropped.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        turns: Turns | None = None,
        note_dropped: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._redis = redis
        self._turns = turns or Turns()
        self._note_dropped = note_dropped
        self._waiting: deque[tuple[CapturedQuery, str]] = deque()
        self._bytes = 0
        self.paused = False

    @property
    def waiting(self) -> list[CapturedQuery]:
        """The queries that wait to be written."""
        return [query for query, _ in self._waiting]

    def offer(
        self,
        application: ApplicationSpec,
        *,
        input: bytes,
        output: bytes,
        outputs: dict[str, bytes],
        ends: Iterable[tuple[str, Outcome | None]],
        query_id: str,
        context: str,
        confidence: float,
        cause: str,
        latency_ms: float,
        key: str = "",
    ) -> None:
        """Take a query that was drawn for the sample."""
        query = CapturedQuery(
            application.id,
            int(time() * 1e3),
            application.capture_rate,
            query_id,
            context,
            input,
            output,
            outputs,
            {arm: _why(outcome) for arm, outcome in ends if arm not in outputs},
            confidence,
            cause,
            latency_ms,
            key,
        )
        size = query.size
        is_full = len(self._waiting) >= WAITING_ROWS or self._bytes + size > WAITING_BYTES
        if self.paused or is_full or size > ROW_BYTES:
            self._note_dropped(application.id)
            return
        self._waiting.append((query, application.capture_redact))
        self._bytes += size

    async def flush(self) -> None:
        """Hand all that waits to Redis. What it doesn't take is dropped: more will come."""
        waiting, self._waiting, self._bytes = self._waiting, deque(), 0
        if not waiting:
            return
        slice, entries = Slice(self._turns), [_Entry()]
        for query, setting in waiting:
            try:
                row = _redacted(query, names_in(setting))
            except UNREADABLE:
                self._note_dropped(query.application_id)
                continue
            if entries[-1].size > ENTRY_BYTES:
                entries.append(_Entry())
            entries[-1].add(row)
            await slice.pause()
        room = 0
        try:
            room = max(0, ENTRIES - await self._redis.xlen(STREAM))
            async with self._redis.pipeline(transaction=True) as pipe:
                for entry in entries[:room]:
                    pipe.xadd(STREAM, {"rows": _encode(entry.rows)})
                await pipe.execute()
        except BaseException:
            room = 0
            raise
        finally:
            for row in chain.from_iterable(entry.rows for entry in entries[room:]):
                self._note_dropped(row.application_id)


class _Entry:
    """Rows of one entry of the stream."""

    def __init__(self) -> None:
        self.rows: list[CapturedQuery] = []
        self.size = 0

    def add(self, row: CapturedQuery) -> None:
        self.rows.append(row)
        self.size += row.size


def _why(outcome: Outcome | None) -> str:
    return MISSING.get(NO_OUTCOME if outcome is None else outcome.status, "failed")


def _redacted(query: CapturedQuery, names: frozenset[str]) -> CapturedQuery:
    if not names:
        return query
    return msgspec.structs.replace(
        query,
        input=b"null" if EVERYTHING in names else redacted(query.input, names),
        output=query.output and redacted(query.output, names),
        outputs={arm: redacted(output, names) for arm, output in query.outputs.items()},
    )
