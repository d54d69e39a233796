"""The calls that wait for one replica: by priority, in fair shares, by deadline."""

from __future__ import annotations

import heapq
from bisect import insort_right
from collections import defaultdict, deque
from typing import NamedTuple

from serving.engine.questions import Call

# A batch of large inputs ends here, far below what a frame may hold.
MAX_BATCH_BYTES = 16 << 20


class Taken(NamedTuple):
    """The calls of the next batch, and those that go out of the queue without it.

    It would have answered the `late` ones too late; nobody waits for the `left` ones any more.
    """

    calls: list[Call]
    late: list[Call]
    left: list[Call]


class CallQueue:
    """A bounded queue that one flooding application cannot keep from the others.

    Every application (`share`) has a lane of its own, ordered by when its calls are `due`. Lanes of
    a higher priority go first; those of the same one take turns row by row, by virtual time as in
    start-time fair queueing (Goyal, Vin and Cheng 1996), so that a lane which was empty neither
    has lost anything nor has saved up turns. Each priority has a virtual time of its own.
    """

    def __init__(self, *, capacity: int) -> None:
        self.capacity = capacity
        self._lanes: dict[tuple[int, int], _Lane] = {}
        self._rounds: defaultdict[int, _Round] = defaultdict(_Round)
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    @property
    def full(self) -> bool:
        return self._rows >= self.capacity

    def push(self, call: Call) -> Call | None:
        """Queue the call; return the one that had to go for want of room, maybe this one."""
        key = call.priority, call.share
        lane = self._lanes.get(key)
        evicted = None
        if self._rows >= self.capacity:
            last = max(self._lanes.values(), key=_dispensable)
            if call.priority > last.priority:
                return call
            # Among equals, only a lane that keeps as much as it makes room for has to give.
            own_rows = len(lane.calls) if lane is not None else 0
            if call.priority == last.priority and len(last.calls) <= 1 + own_rows:
                return call
            evicted = last.calls.pop()
            self._rows -= 1
            if not last.calls:
                self._forget(last)
        if lane is None:
            lane = self._lanes[key] = _Lane(call, round=self._rounds[call.priority])
        lane.push(call)
        self._rows += 1
        return evicted

    def take(self, *, rows: int, finish: float) -> Taken:
        """Take up to `rows` calls that a batch may hold; `finish` is when it will be answered.

        Calls whose deadline is not after `finish` are taken out too, as late.
        """
        taken = Taken([], [], [])
        calls = taken.calls
        room = MAX_BATCH_BYTES
        ranks = [lane.rank() for lane in self._lanes.values()]
        heapq.heapify(ranks)
        while ranks and len(calls) < rows:
            lane = ranks[0].lane
            call = lane.calls[0]
            if not call.waiters:
                taken.left.append(call)
            elif call.deadline <= finish:
                taken.late.append(call)
            else:
                room -= len(call.input)
                if calls and room < 0:
                    break
                calls.append(call)
                lane.had_turn()
            lane.calls.popleft()
            self._rows -= 1
            if not lane.calls:
                heapq.heappop(ranks)
                self._forget(lane)
            elif len(ranks) > 1:
                heapq.heapreplace(ranks, lane.rank())
        return taken

    def ahead_of(self, call: Call) -> int:
        """Return how many rows would be taken before this call, if it were pushed now.

        It may be one fewer for each other lane, where the deadline decides whose turn comes first.
        """
        lanes = self._lanes
        own = lanes.get((call.priority, call.share))
        ahead = len(own.calls) if own is not None else 0
        if ahead == self._rows:
            return ahead
        first = own.turn if own is not None else self._rounds[call.priority].next_of(call.share)
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
            expired.extend(lane.drop_expired(now=now))
            if not lane.calls:
                self._forget(lane)
        self._rows -= len(expired)
        return expired

    def drop_left(self) -> list[Call]:
        """Take out every call that nobody waits for any more. It looks at all of them."""
        left = []
        for lane in list(self._lanes.values()):
            left.extend(lane.drop_left())
            if not lane.calls:
                self._forget(lane)
        self._rows -= len(left)
        return left

    def clear(self) -> list[Call]:
        """Take out everything."""
        calls = [call for lane in self._lanes.values() for call in lane.calls]
        self._lanes.clear()
        self._rounds.clear()
        self._rows = 0
        return calls

    def _forget(self, lane: _Lane) -> None:
        del self._lanes[lane.priority, lane.share]
        lane.leave()


class _Round:
    """The virtual time of one priority: the turn given last, and who left after having had it."""

    __slots__ = ("left", "turn")

    def __init__(self) -> None:
        self.turn = 0
        self.left: set[int] = set()

    def next_of(self, share: int) -> int:
        """Return the turn at which a lane that (re)appears now goes."""
        return self.turn + (share in self.left)


class _Lane:
    """What one application has waiting; its `turn` grows with every row that it is given."""

    __slots__ = ("calls", "priority", "round", "share", "turn")

    def __init__(self, first: Call, *, round: _Round) -> None:
        self.share = first.share
        self.priority = first.priority
        self.round = round
        self.turn = round.next_of(first.share)
        self.calls: deque[Call] = deque()

    def had_turn(self) -> None:
        if self.turn > self.round.turn:
            self.round.turn = self.turn
            self.round.left.clear()
        self.turn += 1

    def leave(self) -> None:
        """Remember a turn had in this round: whoever comes right back must not have it again."""
        if self.turn > self.round.turn:
            self.round.left.add(self.share)

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
        left = [call for call in self.calls if not call.waiters]
        if left:
            self.calls = deque(call for call in self.calls if call.waiters)
        return left

    def rank(self) -> _Rank:
        return _Rank(self.priority, self.turn, self.calls[0].due, self.share, self)


class _Rank(NamedTuple):
    """Orders lanes; no two agree in priority and share, so lanes are never compared themselves."""

    priority: int
    turn: int
    deadline: float
    share: int
    lane: _Lane


def _dispensable(lane: _Lane) -> tuple[int, int]:
    """The later the priority and the longer the lane, the less is lost with its last call."""
    return lane.priority, len(lane.calls)


def _due_of(call: Call) -> float:
    return call.due
