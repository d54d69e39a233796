"""Gather: a query's wait for several versions; and Call: what carries it to one of them."""

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from serving.engine.outcome import Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """Terms of an application's queries.

    Applications (`tenant`) have equal shares of a busy replica within one `priority`; lower numbers
    go first. If `cached`, answers of up to `max_age` seconds may come from the cache.
    """

    tenant: int = 0
    priority: int = 1
    cached: bool = True
    max_age: float = math.inf


ORDINARY = CallOptions()
# Priority of large batches: every single query goes before them.
LAST_PRIORITY = 3


class Trace(NamedTuple):
    """Source of an answer ("cache", "joined" or "model"), and its stages in seconds."""

    source: str
    replica: str = ""
    batch_size: int = 0
    queued: float = 0.0
    in_batch: float = 0.0
    in_model: float = 0.0


CACHED = Trace("cache")


class Gather:
    """Waits for the outcomes of several calls, until all are there or its deadline has passed.

    It ends with a plain call: a query needs no task. `calls` are those that carry it. There are
    `traces`, one for each outcome, if it is `traced`.
    """

    __slots__ = ("_call", "_timer", "calls", "missing", "outcomes", "traces")

    def __init__(self, calls: int, traced: bool = False) -> None:
        self.outcomes: list[Outcome | None] = [None] * calls
        self.traces: list[Trace | None] | None = [None] * calls if traced else None
        self.missing = calls
        self.calls: list[Call] = []
        self._call: Callable[[], None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def answered(self) -> bool:
        return self.missing == 0

    def arrive(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of the call at `index`; the first one counts."""
        if self.outcomes[index] is not None:
            return
        self.outcomes[index] = outcome
        self.missing -= 1
        if not self.missing:
            self._settle()

    def ask_one_more(self) -> int:
        """Wait for one more outcome, and return its index."""
        self.outcomes.append(None)
        if self.traces is not None:
            self.traces.append(None)
        self.missing += 1
        return len(self.outcomes) - 1

    def trace(self, index: int, trace: Trace) -> None:
        if self.traces is not None:
            self.traces[index] = trace

    def abandon(self) -> None:
        """Stop waiting, and don't send what was for this query alone."""
        self._take_call()
        for call in self.calls:
            call.release(self)
        self.calls.clear()

    def when_settled(self, call: Callable[[], None], *, seconds: float) -> None:
        """Call once, when every outcome is there or `seconds` have passed."""
        if self.missing == 0 or seconds <= 0.0:
            call()
            return
        self._call = call
        self._timer = asyncio.get_running_loop().call_later(seconds, self._settle)

    async def settled(self, *, seconds: float) -> None:
        """Return when every outcome is there or `seconds` have passed."""
        if self.missing == 0 or seconds <= 0.0:
            return
        future = asyncio.get_running_loop().create_future()
        self.when_settled(partial(_resolve, future), seconds=seconds)
        try:
            await future
        except asyncio.CancelledError:
            self.abandon()
            raise
        finally:
            self._take_call()

    def _settle(self) -> None:
        call = self._take_call()
        if call is not None:
            call()

    def _take_call(self) -> Callable[[], None] | None:
        call, self._call = self._call, None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        return call


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class Call:
    """One input on its way to one version, shared by identical queries in flight.

    `key` is its key in the cache, None if it must not be kept there. Joining may move the
    `deadline`; `due` stays the one by which it is queued.
    """

    __slots__ = (
        "_index",
        "_joined",
        "asked_at",
        "deadline",
        "due",
        "input",
        "key",
        "priority",
        "retried",
        "sent",
        "tenant",
        "trace",
        "traced",
        "waiter",
    )

    def __init__(
        self,
        gather: Gather,
        index: int,
        key: bytes | None,
        input: bytes,
        asked_at: float,
        deadline: float,
        options: CallOptions,
    ) -> None:
        self.key = key
        self.input = input
        self.asked_at = asked_at
        self.deadline = self.due = deadline
        self.tenant = options.tenant
        self.priority = options.priority
        self.retried = self.sent = False
        self.traced = gather.traces is not None
        self.trace: Trace | None = None
        # Nearly always one waits: a list would be memory that is cold when the answer comes.
        self.waiter: Gather | None = gather
        self._index = index
        self._joined: list[tuple[Gather, int]] | None = None
        gather.calls.append(self)

    def join(self, gather: Gather, *, index: int, deadline: float) -> None:
        if not self.wanted:
            self.waiter, self._index = gather, index
        elif self._joined is None:
            self._joined = [(gather, index)]
        else:
            self._joined.append((gather, index))
        if deadline > self.deadline:
            self.deadline = deadline
        gather.calls.append(self)
        if gather.traces is not None:
            self.traced = True

    @property
    def wanted(self) -> bool:
        """Return whether anybody still waits for it."""
        return self.waiter is not None or bool(self._joined)

    def release(self, gather: Gather) -> None:
        """Forget a query whose caller has left."""
        if self.waiter is gather:
            self.waiter = None
        if self._joined is not None:
            self._joined = [waiter for waiter in self._joined if waiter[0] is not gather]

    def answer(self, outcome: Outcome) -> None:
        """Give the outcome to all that wait for it."""
        if self.trace is not None:
            self._hand_out_trace(self.trace)
        waiter, joined = self.waiter, self._joined
        self.waiter = self._joined = None
        if waiter is not None:
            waiter.arrive(self._index, outcome)
        for gather, index in joined or ():
            gather.arrive(index, outcome)

    def _hand_out_trace(self, trace: Trace) -> None:
        if self.waiter is not None:
            self.waiter.trace(self._index, trace)
            trace = trace._replace(source="joined")
        for gather, index in self._joined or ():
            gather.trace(index, trace)
            trace = trace._replace(source="joined")
