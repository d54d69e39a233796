"""Follows the registry by its changes: what a notice names is read anew, and nothing else.

What no notice tells is found by a comparison with everything, a piece at a time: all the time and
slowly, and at once where a notice is missing. Reading is done in a thread; what it finds is applied
on the event loop, in slices that keep nobody waiting.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from time import monotonic
from typing import Any, Protocol

from redis.asyncio import Redis

from core.changes import (
    APPLICATION,
    KEY,
    MODEL,
    PRIVATE,
    REVOKED,
    VERSION,
    Ids,
    announced,
    notice_in,
)
from core.log_once import LogOnce
from core.specs import ApplicationSpec
from registry.followers import leave_followers, note_followed
from registry.row_changes import KINDS, START, Known, Piece, Row, RowChange, RowPlace
from selection.store.keys import REDIS_ERRORS
from serving.metrics.event_loop import LoopWatch
from serving.web.keeping import RETRY_PAUSE_S

# Everything is compared once in so long: a change that no notice tells is found within it.
COMPARED_IN_S = 5.0
# So many changes are applied at once: about a millisecond of the loop.
SLICE = 40
# A caller who asks for something unknown waits this long for what may have been made a moment ago;
# where Redis can't say whether anything was, looks at the registry are this far apart.
CATCH_UP_S = 1.0
LOOK_INTERVAL_S = 0.25
# Stands for a row that is there and was not read: whatever is read next is a change of it, and so
# is that it is gone.
UNREAD: Row = ()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySource:
    """Where rows are read: those that are named, and the next ones of a comparison. Both block."""

    read_rows: Callable[..., Sequence[RowChange]]
    compare: Callable[..., Piece]


class InThread(Protocol):
    """Runs blocking work beside the loop."""

    def __call__(self, work: Callable[[], Any], /) -> Awaitable[Any]: ...


class Following(Protocol):
    """Who follows: what applies changes on the loop, in no time to speak of."""

    def apply(self, changes: Sequence[RowChange], /) -> None: ...

    def application(self, application_id: int, /) -> ApplicationSpec | None: ...

    def compared(self) -> None: ...


class RegistryFollower:
    """What one web process has heard of the registry, has read and follows."""

    def __init__(
        self,
        client: Redis,
        *,
        process_id: str,
        source: RegistrySource,
        following: Following,
        in_thread: InThread,
        watch: LoopWatch,
    ) -> None:
        self._client = client
        self._process_id = process_id
        self._source = source
        self._following = following
        self._in_thread = in_thread
        self._watch = watch
        self._known: Known = {kind: {} for kind in KINDS}
        # The numbers of the last notice that was heard, and of the last one that is followed.
        self._heard = self.followed = 0
        self._pending: defaultdict[str, set[int]] = defaultdict(set)
        # What a notice has closed and no reading that began since has: none of before opens it.
        self._closed: set[tuple[str, int]] = set()
        # Rows that nothing can be made of, and why: they stay as they were, or unknown; keys go.
        self.faults: dict[tuple[str, int], str] = {}
        self._place: RowPlace = START
        # Which comparison this is, and how many pieces it and the last one have.
        self._begun = self._pieces = self._pieces_of_last = 0
        self._next_piece_at = 0.0
        # Whether a notice is missing, so that the comparison under way is what is followed next.
        self._urgent = True
        self._gone: defaultdict[str, set[int]] = defaultdict(set)
        self._compared_at = 0.0
        self._comparisons = 0
        self._work = asyncio.Event()
        # Resolves when the registry has been followed further the next time.
        self.next_look: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._log_once = LogOnce(
            logger,
            away="the registry can't be read, trying again",
            back="the registry can be read again",
        )

    async def start(self) -> None:
        """Read everything. Raises what the reading does."""
        with suppress(*REDIS_ERRORS):
            self._heard = await announced(self._client)
        while self._urgent:
            await self._compare()
        await self._read_pending()

    async def run(self) -> None:
        """Follow for as long as the process lives."""
        while True:
            await self._wait()
            try:
                await self._step()
                self._log_once.ended()
            except Exception as error:  # noqa: BLE001  (databases fail in many ways)
                self._log_once.began(error)
                await asyncio.sleep(RETRY_PAUSE_S)

    async def tell(self) -> None:
        """Say up to which notice this process follows, and that it lives. Raises RedisError."""
        await note_followed(self._client, self._process_id, number=self.followed)

    async def leave(self) -> None:
        """Nobody has to wait for this process any more. Raises RedisError."""
        await leave_followers(self._client, self._process_id)

    # --- what is heard --------------------------------------------------------------------------

    def hear(self, message: bytes) -> None:
        """Take in a notice. What it closes is closed at once, before anything is read."""
        notice = notice_in(message)
        if notice is None or notice.number == 0:
            self._look_at_everything()
        elif notice.number > self._heard:
            if notice.after != self._heard:
                self._look_at_everything()
            self._heard = notice.number
        if notice is not None:
            self._note(notice.ids)
            self._close(notice.ids)
        self._work.set()

    async def hears_again(self) -> None:
        """From now on notices are heard: before, some may have been missed. Raises RedisError."""
        number = await announced(self._client)
        if number < self.followed:  # Redis has lost what it knew
            self.followed = number
        self._heard = number
        self._look_at_everything()

    def _note(self, ids: Ids) -> None:
        for kind in KINDS:
            if kind in ids:
                self._pending[kind] |= ids[kind]

    def _close(self, ids: Ids) -> None:
        revoked, private = ids.get(REVOKED, ()), ids.get(PRIVATE, ())
        # Also what is closed here: a reading under way may have found it open.
        self._closed |= {(KEY, key_id) for key_id in revoked}
        self._closed |= {(APPLICATION, application_id) for application_id in private}
        changes = [RowChange(KEY, key_id, None) for key_id in revoked]
        for application_id in private:
            known = self._following.application(application_id)
            if known is not None and known.public:
                shut = replace(known, public=False)
                changes.append(RowChange(APPLICATION, known.id, shut, UNREAD))
        if changes:
            self._following.apply(changes)
            self._remember(changes)

    def _look_at_everything(self) -> None:
        self._urgent, self._place, self._pieces = True, START, 0
        self._begun += 1
        self._work.set()

    # --- reading --------------------------------------------------------------------------------

    async def _wait(self) -> None:
        if not self._urgent:
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, self._next_piece_at - monotonic())):
                    await self._work.wait()
        self._work.clear()

    async def _step(self) -> None:
        if self._pending or self.followed < self._heard:
            await self._read_pending()
        if self._urgent or monotonic() >= self._next_piece_at:
            await self._compare()

    async def _read_pending(self) -> None:
        """Read what notices have named; all that was heard before is followed then."""
        ids, self._pending = self._pending, defaultdict(set)
        closed, self._closed = self._closed, set()
        number = self._heard
        if ids:
            try:
                changes = await self._read(partial(self._source.read_rows, ids, known=self._known))
                await self._apply(changes)
            except BaseException:
                self._note({kind: frozenset(missing) for kind, missing in ids.items()})
                self._closed |= closed
                self._work.set()  # after a pause, and not with the next piece of a comparison
                raise
        if not self._urgent:
            await self._follow_to(number)

    async def _compare(self) -> None:
        """Compare the next piece of everything."""
        begun, place = self._begun, self._place
        self._next_piece_at = monotonic() + COMPARED_IN_S / max(1, self._pieces_of_last)
        found = await self._read(partial(self._source.compare, place, known=self._known))
        # What isn't there any more goes last: whatever refers to it has to be read before.
        for change in found.changes:
            if change.row is None and change.kind in {MODEL, VERSION}:
                self._gone[change.kind].add(change.id)
        here = [
            change for change in found.changes if change.id not in self._gone.get(change.kind, ())
        ]
        await self._apply(here)
        if self._begun != begun:  # again, from the beginning
            return
        self._pieces += 1
        if found.following is None:
            await self._end_comparison()
        else:
            self._place = found.following

    async def _end_comparison(self) -> None:
        self._pieces_of_last, self._pieces, self._place = self._pieces, 0, START
        self._note({kind: frozenset(ids) for kind, ids in self._gone.items()})
        self._gone.clear()
        self._urgent = False
        self._following.compared()
        self._compared_at = monotonic()
        self._comparisons += 1
        self._work.set()
        self._looked()

    async def _read(self, work: Callable[[], Any]) -> Any:
        def timed() -> Any:
            with self._watch.reading():
                return work()

        return await self._in_thread(timed)

    async def _apply(self, changes: Sequence[RowChange]) -> None:
        """Apply what was read, unless it would open what was closed since."""
        for first in range(0, len(changes), SLICE):
            if first:
                await asyncio.sleep(0)
            some = [
                change
                for change in changes[first : first + SLICE]
                if not (_opens(change) and (change.kind, change.id) in self._closed)
            ]
            sound = [change for change in some if not change.fault or change.kind == KEY]
            if sound:
                with self._watch.applying():
                    self._following.apply(sound)
            self._remember(some)
            self._note_faults(some)

    def _remember(self, changes: Sequence[RowChange]) -> None:
        for kind, row_id, _, row, _ in changes:
            if row is None:
                self._known[kind].pop(row_id, None)
            else:
                self._known[kind][row_id] = row

    def _note_faults(self, changes: Sequence[RowChange]) -> None:
        for change in changes:
            row = change.kind, change.id
            if change.fault:
                logger.error("row left out kind=%s id=%d: %s", *row, change.fault)
                self.faults[row] = change.fault
            elif self.faults.pop(row, None):
                logger.info("row followed again kind=%s id=%d", *row)

    def faults_told(self) -> str:
        """Say for people which rows are left out; "" where none is."""
        if not self.faults:
            return ""
        (kind, row_id), why = next(iter(self.faults.items()))
        more = f", and {len(self.faults) - 1} more" if len(self.faults) > 1 else ""
        return f"{kind} {row_id} can't be read and is left out{more}: {why}"

    async def _follow_to(self, number: int) -> None:
        moved = number != self.followed
        self.followed = number
        self._looked()
        if moved:
            with suppress(*REDIS_ERRORS):  # it is said again within a second
                await self.tell()

    def _looked(self) -> None:
        self.next_look.set_result(None)
        self.next_look = asyncio.get_running_loop().create_future()

    # --- who waits ------------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Wait until what has been announced by now is followed, for a moment at most."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CATCH_UP_S):
                number = await self._announced()
                if number is None:
                    await self._catch_up_without_notices()
                else:
                    while self.followed < number:
                        await asyncio.wait([self.next_look])

    async def _announced(self) -> int | None:
        """Return the number of the last notice; None where Redis doesn't say it soon."""
        try:
            async with asyncio.timeout(LOOK_INTERVAL_S):
                return await announced(self._client)
        except (TimeoutError, *REDIS_ERRORS):
            return None

    async def _catch_up_without_notices(self) -> None:
        wanted = self._comparisons + 1
        await asyncio.sleep(LOOK_INTERVAL_S - (monotonic() - self._compared_at))
        if self._comparisons < wanted and not self._urgent:
            self._look_at_everything()
        while self._comparisons < wanted or self._pending:
            await asyncio.wait([self.next_look])


def _opens(change: RowChange) -> bool:
    """Whether it lets callers in: a key, or an application that needs none."""
    if isinstance(change.spec, ApplicationSpec):
        return change.spec.public
    return change.kind == KEY and change.spec is not None
