"""Queue of calls for one replica: by priority, in fair shares, by deadline."""

from __future__ import annotations

import heapq
from bisect import insort_right
from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from serving.engine.gather import LAST_PRIORITY, Call

# A batch of large inputs ends here, far below what a frame may hold.
MAX_BATCH_BYTES = 16 << 20
NOBODY: tuple[Call, ...] = ()


class Taken(NamedTuple):
    """Calls of the next batch, those it would answer too `late`, and those whose callers `left`."""

    calls: list[Call]
    late: list[Call]
    left: list[Call]


class CallQueue:
    """A fair queue, bounded in rows and bytes.

    Each application (`tenant`) has a lane, ordered by when its calls are `due`. Lanes of a higher
    priority go first; those of one priority take turns row by row, by start-time fair queueing
    (Goyal, Vin and Cheng 1996): an empty lane neither loses turns nor saves them up.
    """

    def __init__(self, *, capacity: int, max_bytes: int = 64 << 20) -> None:
        self.capacity = capacity
        self.max_bytes = max_bytes
        self.bytes_held = 0
        self._lanes: dict[tuple[int, int], _Lane] = {}
        self._rounds: defaultdict[int, _Round] = defaultdict(_Round)
        self.rows = 0

    @property
    def lanes(self) -> list[tuple[Call, ...]]:
        """Return the calls of each lane in the order in which they are due."""
        return [tuple(lane.calls) for lane in self._lanes.values()]

    @property
    def in_no_hurry(self) -> bool:
        """Return whether only rows of large batches wait."""
        return all(lane.priority == LAST_PRIORITY for lane in self._lanes.values())

    @property
    def full(self) -> bool:
        return self.rows >= self.capacity or self.bytes_held >= self.max_bytes

    def push(self, call: Call) -> Sequence[Call]:
        """Queue the call; return those evicted for it, or the call itself."""
        size = len(call.input)
        evicted: Sequence[Call] = NOBODY
        held = self.bytes_held + size
        if self.rows >= self.capacity or (held > self.max_bytes and self.rows):
            evicted = self._make_room(call)
            if evicted[-1] is call:
                return evicted
        key = call.priority, call.tenant
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = _Lane(call, round=self._rounds[call.priority])
        calls = lane.calls
        # One application's deadlines nearly always come in order.
        if not calls or calls[-1].due <= call.due:
            calls.append(call)
        else:
            insort_right(calls, call, key=_due_of)
        lane.bytes_held += size
        self.rows += 1
        self.bytes_held += size
        return evicted

    def _has_room(self, size: int) -> bool:
        return self.rows < self.capacity and (
            self.bytes_held + size <= self.max_bytes or not self.rows
        )

    def _make_room(self, call: Call) -> list[Call]:
        """Evict calls for this one, which comes last if there are too few to evict."""
        evicted: list[Call] = []
        while not self._has_room(len(call.input)):
            last = max(self._lanes.values(), key=self._dispensable)
            if not self._gives_way(last, to=call):
                return [*evicted, call]
            gone = last.calls.pop()
            self._note_gone(last, gone)
            evicted.append(gone)
            if not last.calls:
                self._forget(last)
        return evicted

    def _gives_way(self, lane: _Lane, *, to: Call) -> bool:
        """Return whether a call of the lane is evicted; among equals only of a fuller lane."""
        if lane.priority != to.priority:
            return lane.priority > to.priority
        own = self._lanes.get((to.priority, to.tenant))
        rows = 1 if own is None else 1 + len(own.calls)
        size = len(to.input) if own is None else len(to.input) + own.bytes_held
        return self._part_of_room(len(lane.calls), lane.bytes_held) > self._part_of_room(rows, size)

    def _part_of_room(self, rows: int, size: int) -> float:
        return max(rows / self.capacity, size / self.max_bytes)

    def _dispensable(self, lane: _Lane) -> tuple[int, float]:
        """Order lanes by how dispensable their last call is: low priority first, then fullness."""
        return lane.priority, self._part_of_room(len(lane.calls), lane.bytes_held)

    def _note_gone(self, lane: _Lane, call: Call) -> None:
        lane.bytes_held -= len(call.input)
        self.bytes_held -= len(call.input)
        self.rows -= 1

    def take(self, *, rows: int, finish: float) -> Taken:
        """Take a batch of up to `rows` calls; those due by `finish`, when it ends, are late."""
        taken = Taken([], [], [])
        calls = taken.calls
        room, gone_bytes = MAX_BATCH_BYTES, 0
        ranks = [lane.rank() for lane in self._lanes.values()]
        heapq.heapify(ranks)
        while ranks and len(calls) < rows:
            lane = ranks[0].lane
            waiting = lane.calls
            call = waiting[0]
            size = len(call.input)
            if call.waiter is None and not call.wanted:
                taken.left.append(call)
            elif call.deadline <= finish:
                taken.late.append(call)
            else:
                room -= size
                if calls and room < 0:
                    break
                calls.append(call)
                round = lane.round
                if lane.turn > round.turn:
                    round.turn = lane.turn
                    if round.left:
                        round.left.clear()
                lane.turn += 1
            waiting.popleft()
            lane.bytes_held -= size
            gone_bytes += size
            if not waiting:
                heapq.heappop(ranks)
                self._forget(lane)
            elif len(ranks) > 1:
                heapq.heapreplace(ranks, lane.rank())
        self.rows -= len(calls) + len(taken.late) + len(taken.left)
        self.bytes_held -= gone_bytes
        return taken

    def ahead_of(self, call: Call) -> int:
        """Return how many rows go before this call if pushed now, give or take one per lane."""
        lanes = self._lanes
        own = lanes.get((call.priority, call.tenant))
        ahead = len(own.calls) if own is not None else 0
        if ahead == self.rows:
            return ahead
        first = own.turn if own is not None else self._rounds[call.priority].next_of(call.tenant)
        turn = first + ahead
        for lane in lanes.values():
            if lane is own:
                continue
            if lane.priority < call.priority:
                ahead += len(lane.calls)
            elif lane.priority == call.priority:
                # No lane is more than a turn before or behind another of its priority.
                ahead += min(len(lane.calls), turn + 1 - lane.turn)
        return ahead

    def earliest_deadline(self) -> float:
        """Return the first deadline; infinity if the queue is empty."""
        return min((lane.calls[0].due for lane in self._lanes.values()), default=float("inf"))

    def drop_expired(self, *, now: float) -> list[Call]:
        """Take out every call whose deadline has passed."""
        return self._drop(lambda lane: lane.drop_expired(now=now))

    def drop_left(self) -> list[Call]:
        """Take out every call without a waiting caller, after looking at all of them."""
        return self._drop(_Lane.drop_left)

    def _drop(self, drop: Callable[[_Lane], list[Call]]) -> list[Call]:
        dropped = []
        for lane in list(self._lanes.values()):
            for call in drop(lane):
                self._note_gone(lane, call)
                dropped.append(call)
            if not lane.calls:
                self._forget(lane)
        return dropped

    def clear(self) -> list[Call]:
        """Take out everything."""
        calls = [call for lane in self._lanes.values() for call in lane.calls]
        self._lanes.clear()
        self._rounds.clear()
        self.rows = self.bytes_held = 0
        return calls

    def _forget(self, lane: _Lane) -> None:
        del self._lanes[lane.priority, lane.tenant]
        lane.leave()


class _Round:
    """Virtual time of one priority: the last turn given, and tenants that left after it."""

    __slots__ = ("left", "turn")

    def __init__(self) -> None:
        self.turn = 0
        self.left: set[int] = set()

    def next_of(self, tenant: int) -> int:
        """Return the turn of a lane that (re)appears now."""
        return self.turn + (tenant in self.left)


class _Lane:
    """Waiting calls of one application; its `turn` grows with every row taken."""

    __slots__ = ("bytes_held", "calls", "priority", "round", "tenant", "turn")

    def __init__(self, first: Call, *, round: _Round) -> None:
        self.tenant = first.tenant
        self.priority = first.priority
        self.round = round
        self.turn = round.next_of(first.tenant)
        self.calls: deque[Call] = deque()
        self.bytes_held = 0

    def leave(self) -> None:
        """Remember a turn of this round: a tenant that comes right back must not get it again."""
        if self.turn > self.round.turn:
            self.round.left.add(self.tenant)

    def drop_expired(self, *, now: float) -> list[Call]:
        """Take out expired calls, and move those that got more time to their new place."""
        expired = []
        while self.calls and self.calls[0].due <= now:
            call = self.calls.popleft()
            if call.deadline <= now:
                expired.append(call)
            else:
                call.due = call.deadline
                insort_right(self.calls, call, key=_due_of)
        return expired

    def drop_left(self) -> list[Call]:
        left = [call for call in self.calls if not call.wanted]
        if left:
            self.calls = deque(call for call in self.calls if call.wanted)
        return left

    def rank(self) -> _Rank:
        return _Rank(self.priority, self.turn, self.calls[0].due, self.tenant, self)


class _Rank(NamedTuple):
    """Order of lanes; no two agree in priority and tenant, so lanes are never compared."""

    priority: int
    turn: int
    deadline: float
    tenant: int
    lane: _Lane


def _due_of(call: Call) -> float:
    return call.due
