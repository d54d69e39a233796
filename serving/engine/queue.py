"""The calls that wait for one replica: by priority, in fair shares, by deadline."""

from __future__ import annotations

import heapq
from bisect import insort_right
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

from serving.engine.gather import LAST_PRIORITY, Call

# A batch of large inputs ends here, far below what a frame may hold.
MAX_BATCH_BYTES = 16 << 20
NOBODY: tuple[Call, ...] = ()


class Taken(NamedTuple):
    """The calls of the next batch, and those that go out of the queue without it.

    It would have answered the `late` ones too late; nobody waits for the `left` ones any more.
    """

    calls: list[Call]
    late: list[Call]
    left: list[Call]


class CallQueue:
    """A queue that one flooding application cannot keep from the others, bounded in rows and bytes.

    Every application (`tenant`) has a lane of its own, ordered by when its calls are `due`. Lanes
    of a higher priority go first; those of the same one take turns row by row, by virtual time as
    in start-time fair queueing (Goyal, Vin and Cheng 1996), so that a lane which was empty neither
    has lost anything nor has saved up turns. Each priority has a virtual time of its own.
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
        """The calls of each lane that has any, in the order in which they are due."""
        return [tuple(lane.calls) for lane in self._lanes.values()]

    @property
    def in_no_hurry(self) -> bool:
        """Whether all that waits goes behind every query, as rows of large batches do."""
        return all(lane.priority == LAST_PRIORITY for lane in self._lanes.values())

    @property
    def full(self) -> bool:
        return self.rows >= self.capacity or self.bytes_held >= self.max_bytes

    def push(self, call: Call) -> Sequence[Call]:
        """Queue the call; return those that had to go for want of room, maybe this one.

        A queue that is empty has room for one call, however large.
        """
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
        lane.push(call)
        lane.bytes_held += size
        self.rows += 1
        self.bytes_held += size
        return evicted

    def _has_room(self, size: int) -> bool:
        return self.rows < self.capacity and (
            self.bytes_held + size <= self.max_bytes or not self.rows
        )

    def _make_room(self, call: Call) -> list[Call]:
        """Take out whom the call may replace; it is the last of them where there are too few."""
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
        """Among equals, only a lane that keeps as much as it makes room for has to give."""
        if lane.priority != to.priority:
            return lane.priority > to.priority
        own = self._lanes.get((to.priority, to.tenant))
        rows = 1 if own is None else 1 + len(own.calls)
        size = len(to.input) if own is None else len(to.input) + own.bytes_held
        return self._part_of_room(len(lane.calls), lane.bytes_held) > self._part_of_room(rows, size)

    def _part_of_room(self, rows: int, size: int) -> float:
        return max(rows / self.capacity, size / self.max_bytes)

    def _dispensable(self, lane: _Lane) -> tuple[int, float]:
        """The later the priority and the fuller the lane, the less is lost with its last call."""
        return lane.priority, self._part_of_room(len(lane.calls), lane.bytes_held)

    def _note_gone(self, lane: _Lane, call: Call) -> None:
        lane.bytes_held -= len(call.input)
        self.bytes_held -= len(call.input)
        self.rows -= 1

    def take(self, *, rows: int, finish: float) -> Taken:
        """Take up to `rows` calls that a batch may hold; `finish` is when it will be answered.

        Calls whose deadline is not after `finish` are taken out too, as late.
        """
        taken = Taken([], [], [])
        calls = taken.calls
        room, gone_bytes = MAX_BATCH_BYTES, 0
        ranks = [lane.rank() for lane in self._lanes.values()]
        heapq.heapify(ranks)
        while ranks and len(calls) < rows:
            lane = ranks[0].lane
            call = lane.calls[0]
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
                lane.had_turn()
            lane.calls.popleft()
            lane.bytes_held -= size
            gone_bytes += size
            self.rows -= 1
            if not lane.calls:
                heapq.heappop(ranks)
                self._forget(lane)
            elif len(ranks) > 1:
                heapq.heapreplace(ranks, lane.rank())
        self.bytes_held -= gone_bytes
        return taken

    def ahead_of(self, call: Call) -> int:
        """Return how many rows would be taken before this call, if it were pushed now.

        It may be one fewer for each other lane, where the deadline decides whose turn comes first.
        """
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
        """Return the first deadline there is; infinity in an empty queue."""
        return min((lane.calls[0].due for lane in self._lanes.values()), default=float("inf"))

    def drop_expired(self, *, now: float) -> list[Call]:
        """Take out every call whose deadline has passed."""
        expired = []
        for lane in list(self._lanes.values()):
            for call in lane.drop_expired(now=now):
                self._note_gone(lane, call)
                expired.append(call)
            if not lane.calls:
                self._forget(lane)
        return expired

    def drop_left(self) -> list[Call]:
        """Take out every call that nobody waits for any more. It looks at all of them."""
        left = []
        for lane in list(self._lanes.values()):
            for call in lane.drop_left():
                self._note_gone(lane, call)
                left.append(call)
            if not lane.calls:
                self._forget(lane)
        return left

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
    """The virtual time of one priority: the turn given last, and who left after having had it."""

    __slots__ = ("left", "turn")

    def __init__(self) -> None:
        self.turn = 0
        self.left: set[int] = set()

    def next_of(self, tenant: int) -> int:
        """Return the turn at which a lane that (re)appears now goes."""
        return self.turn + (tenant in self.left)


class _Lane:
    """What one application has waiting; its `turn` grows with every row that it is given."""

    __slots__ = ("bytes_held", "calls", "priority", "round", "tenant", "turn")

    def __init__(self, first: Call, *, round: _Round) -> None:
        self.tenant = first.tenant
        self.priority = first.priority
        self.round = round
        self.turn = round.next_of(first.tenant)
        self.calls: deque[Call] = deque()
        self.bytes_held = 0

    def had_turn(self) -> None:
        if self.turn > self.round.turn:
            self.round.turn = self.turn
            self.round.left.clear()
        self.turn += 1

    def leave(self) -> None:
        """Remember a turn had in this round: whoever comes right back must not have it again."""
        if self.turn > self.round.turn:
            self.round.left.add(self.tenant)

    def push(self, call: Call) -> None:
        calls = self.calls
        # One application's deadlines nearly always come in order.
        if not calls or calls[-1].due <= call.due:
            calls.append(call)
        else:
            insort_right(calls, call, key=_due_of)

    def drop_expired(self, *, now: float) -> list[Call]:
        """Take out whose deadline has passed; who got more time meanwhile moves to its new place.

        Whoever is due later cannot have expired, so that the rest need not be looked at.
        """
        expired = []
        while self.calls and self.calls[0].due <= now:
            call = self.calls.popleft()
            if call.deadline <= now:
                expired.append(call)
            else:
                call.due = call.deadline
                self.push(call)
        return expired

    def drop_left(self) -> list[Call]:
        left = [call for call in self.calls if not call.wanted]
        if left:
            self.calls = deque(call for call in self.calls if call.wanted)
        return left

    def rank(self) -> _Rank:
        return _Rank(self.priority, self.turn, self.calls[0].due, self.tenant, self)


class _Rank(NamedTuple):
    """Orders lanes; no two agree in priority and share, so lanes are never compared themselves."""

    priority: int
    turn: int
    deadline: float
    tenant: int
    lane: _Lane


def _due_of(call: Call) -> float:
    return call.due
