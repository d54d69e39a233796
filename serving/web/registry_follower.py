"""Follower of the registry's change number.

It reads newer rows on each announcement and once a second, and everything once a minute; a thread
reads, and the event loop applies the changes in slices.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from time import monotonic
from typing import Any, Protocol

from redis.asyncio import Redis

from core.log_once import LogOnce
from core.specs import KEY, Snapshot
from registry.following.followers import leave_followers, note_followed
from registry.following.row_changes import (
    KINDS,
    Piece,
    RowChange,
    RowKey,
    RowReading,
    in_order,
    specs_by_row,
)
from selection.store.redis_keys import REDIS_ERRORS
from serving.metrics.event_loop import LoopWatch
from serving.web.upkeep import RETRY_PAUSE_S

# A change is followed within this time if its announcement was lost.
LOOK_S = 1.0
# A change that was made past the ORM is followed within this time.
WHOLE_LOOK_S = 60.0
# Changes applied at once: about a millisecond of the loop.
SLICE = 40

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySource:
    """Readings of the registry (`registry.following.reading`), which block."""

    last_number: Callable[[], int]
    read_newer: Callable[[int], RowReading | None]
    read_piece: Callable[[str, int], Piece]


class Following(Protocol):
    """Applies changes on the loop, quickly."""

    @property
    def snapshot(self) -> Snapshot: ...

    def apply(self, changes: list[RowChange], /) -> None: ...

    def forget_gone(self) -> None: ...


class RegistryFollower:
    """Keeps one web process up to date with the registry."""

    def __init__(
        self,
        client: Redis,
        *,
        process_id: str,
        source: RegistrySource,
        following: Following,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        watch: LoopWatch,
    ) -> None:
        self._client = client
        self._process_id = process_id
        self._source = source
        self._following = following
        self._in_thread = in_thread
        self._watch = watch
        # The change number up to which this process follows.
        self.followed = 0
        # Rows that can't be read, and why: they stay as they were, or unknown; keys go.
        self.faults: dict[RowKey, str] = {}
        # How many looks at the registry have begun, and which one has ended last.
        self._begun = self._ended = 0
        self._looked_at = self._whole_look_at = float("-inf")
        self._wake = asyncio.Event()
        # Resolves after the next look at the registry.
        self.next_look: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log_once = LogOnce(
            logger,
            away="the registry can't be read, trying again",
            back="the registry can be read again",
        )

    async def start(self) -> None:
        """Read everything. Raises what the reading does."""
        await self._look()

    async def run(self) -> None:
        """Follow while the process lives."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._wake.wait()
            self._wake.clear()
            try:
                await self._look()
                self._log_once.ended()
            except Exception as error:  # noqa: BLE001  (databases fail in many ways)
                self._log_once.began(error)
                await asyncio.sleep(RETRY_PAUSE_S)
                self._wake.set()

    def hear(self) -> None:
        """Look at the registry: a change was announced, or may have been."""
        self._wake.set()

    async def publish(self) -> None:
        """Write up to which number this process follows. Raises RedisError."""
        await note_followed(self._client, self._process_id, number=self.followed)

    async def leave(self) -> None:
        """Stop others from waiting for this process. Raises RedisError."""
        await leave_followers(self._client, self._process_id)

    async def catch_up(self) -> None:
        """Wait for a look that begins after now, for a moment at most."""
        wanted = self._begun + 1
        with suppress(TimeoutError):
            async with asyncio.timeout(1.0):
                while self._ended < wanted:
                    pause_s = max(0.0, self._looked_at + 0.05 - monotonic())
                    asyncio.get_running_loop().call_later(pause_s, self._wake.set)
                    await asyncio.wait([self.next_look])

    def describe_faults(self) -> str:
        """Say which rows are left out; "" if none is."""
        if not self.faults:
            return ""
        (kind, row_id), why = next(iter(self.faults.items()))
        more = f", and {len(self.faults) - 1} more" if len(self.faults) > 1 else ""
        return f"{kind} {row_id} can't be read and is left out{more}: {why}"

    async def _look(self) -> None:
        self._begun, self._looked_at = self._begun + 1, monotonic()
        newer: RowReading | None = None
        if self._looked_at < self._whole_look_at:
            newer = await self._read(partial(self._source.read_newer, self.followed))
        if newer is None:
            await self._look_at_everything()
            self._whole_look_at = self._looked_at + WHOLE_LOOK_S
        else:
            self._note_faults(newer)
            await self._apply(newer)
            await self._follow_to(newer.number)
        self._ended = self._begun
        self.next_look.set_result(None)
        self.next_look = asyncio.get_running_loop().create_future()

    async def _look_at_everything(self) -> None:
        known = await self._in_thread(partial(specs_by_row, self._following.snapshot))
        found = RowReading(number=await self._read(self._source.last_number))
        gone = known.keys() | self.faults.keys()
        for kind in KINDS:
            after: int | None = 0
            while after is not None:
                reading, after = await self._read(partial(self._source.read_piece, kind, after))
                gone -= reading.specs.keys()
                found.faults |= reading.faults
                found.specs |= {
                    row: spec for row, spec in reading.specs.items() if known.get(row) != spec
                }
        found.specs |= dict.fromkeys(gone)
        self._note_faults(found)
        await self._apply(found)
        self._following.forget_gone()
        await self._follow_to(found.number)

    async def _read(self, work: Callable[[], Any]) -> Any:
        def timed() -> Any:
            with self._watch.reading():
                return work()

        return await self._in_thread(timed)

    async def _apply(self, reading: RowReading) -> None:
        changes = in_order(
            RowChange(*row, spec)
            for row, spec in reading.specs.items()
            if row not in reading.faults or row[0] == KEY
        )
        for first in range(0, len(changes), SLICE):
            with self._watch.applying():
                self._following.apply(changes[first : first + SLICE])
            await asyncio.sleep(0)

    def _note_faults(self, reading: RowReading) -> None:
        for row in reading.specs:
            if (why := reading.faults.get(row)) is not None:
                if self.faults.get(row) != why:
                    logger.error("row left out kind=%s id=%d: %s", *row, why)
                self.faults[row] = why
            elif self.faults.pop(row, None):
                logger.info("row followed again kind=%s id=%d", *row)

    async def _follow_to(self, number: int) -> None:
        moved = number != self.followed
        self.followed = number
        if moved:
            with suppress(*REDIS_ERRORS):  # it is published again within a second
                await self.publish()
