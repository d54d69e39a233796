"""A connected replica: its queue and the batches it is working on."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from serving.engine.batching.planner import BatchPlanner
from serving.engine.gather import Call, Trace
from serving.engine.outcome import CANCELLED, EXPIRED, OVERLOADED, SATURATED, Outcome, Status
from serving.engine.queue import CallQueue
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import (
    Answer,
    AnswerStatus,
    Frame,
    FrameType,
    decode_answers,
    encode_predict,
)
from serving.rpc.frames.hello import Hello

# While the replica ends one batch the next is already on its way, so that it never idles.
PIPELINE = 2
# The next batch leaves this long before the one under way should end: the wire takes 0.1 ms, a busy
# event loop 2 ms. Sooner it would take the place of queries with an earlier deadline.
LEAD_S = 0.002
# A replica that has not answered for this long, nor for ten times its budget, hangs.
HUNG_S = 10.0


@dataclass(slots=True)
class Batch:
    """Calls on their way to a replica; `expected` is how many seconds they should take alone.

    The first `answered` have their answers. Batches of suspects go `apart` from others.
    """

    calls: list[Call]
    sent_at: float
    expected: float
    apart: bool = False
    answered: int = 0

    @property
    def open(self) -> list[Call]:
        """Return the calls without an answer yet: the last ones."""
        return self.calls[self.answered :] if self.answered else self.calls

    def trace(self, calls: list[Call], *, by: str, now: float, model_seconds: float) -> None:
        """Note the stages of these answers on traced calls."""
        for call in calls:
            if call.traced:
                call.trace = Trace(
                    "model",
                    by,
                    len(self.calls),
                    self.sent_at - call.asked_at,
                    now - self.sent_at,
                    model_seconds,
                )


class Link(Protocol):
    """A connection; it calls the replica's `on_frame`, and `on_lost` once however it ends."""

    @property
    def writable(self) -> bool: ...

    def send(self, data: bytes) -> None: ...

    def close(self) -> None: ...

    def abort(self) -> None: ...


class Owner(Protocol):
    """The pool of a replica."""

    clock: Callable[[], float]
    settle: Callable[[Call, Outcome], None]

    def take_back(self, calls: Iterable[Call]) -> None: ...
    def lost(self, calls: list[Call], *, blamed: list[Call]) -> None: ...
    def answered_apart(self, calls: list[Call]) -> None: ...
    def drains(self, replica: Replica) -> None: ...
    def left(self, replica: Replica) -> None: ...
    def batch_done(
        self,
        replica: Replica,
        batch: Batch,
        *,
        seconds: float,
        model_seconds: float,
        failed: bool,
    ) -> None: ...


class Replica:
    """Sends full batches while its pipeline has room, partial ones when its planner says so.

    `batches` are unanswered, by request id; a `flush_scheduled` comes after this turn of the loop.
    """

    def __init__(
        self,
        *,
        hello: Hello,
        connection: Link,
        planner: BatchPlanner,
        queue: CallQueue,
        owner: Owner,
    ) -> None:
        self.id = hello.replica
        self.planner = planner
        self._at_once = hello.concurrency
        self._room = PIPELINE if hello.concurrency == 1 else hello.concurrency
        self._draining = False
        self._connection = connection
        self._owner = owner
        self.queue = queue
        self.batches: dict[int, Batch] = {}
        self.in_flight = 0
        self._expected_in_flight = 0.0
        self._next_request = 1
        # What is to be sent when nothing else is under way, and whether such a batch is.
        self._apart: list[Call] = []
        self._alone = False
        self._hung = self.flush_scheduled = False
        self._timer: asyncio.TimerHandle | None = None
        self._clock = owner.clock
        self._waiting_since = self._free_since = self._last_answer_at = self._clock()

    @property
    def waiting(self) -> int:
        return self.queue.rows + len(self._apart)

    @property
    def asks_apart(self) -> bool:
        return self._alone or bool(self._apart)

    def ask_apart(self, calls: list[Call]) -> None:
        """Send these as a batch while nothing else is under way."""
        self._apart = calls
        self._schedule_flush()

    @property
    def load(self) -> int:
        """Return the rows that a new query would wait for."""
        return self.queue.rows + self.in_flight

    def enqueue(self, call: Call) -> None:
        queue = self.queue
        if not queue.rows:
            self._waiting_since = call.asked_at
        elif queue.full:
            self.drop_expired(now=self._clock())
        for evicted in queue.push(call):
            self._owner.settle(evicted, SATURATED)
        if not self.flush_scheduled:
            self._schedule_flush()

    # Expected times.

    def seconds_until_answer(self, *, behind: int, now: float) -> float:
        """Return the expected seconds until a query behind `behind` rows is answered."""
        seconds = self.planner.queue_seconds(-(-(behind + 1) // self._at_once))
        return seconds + self._seconds_in_flight(now) if self.batches else seconds

    def too_late_for(self, call: Call, *, now: float) -> bool:
        """Return whether the call, if queued now, is expected to miss its deadline."""
        if self.load < self.planner.ample_rows:
            return False
        rows = self.queue.ahead_of(call) + 1
        seconds = self.planner.last_seconds(-(-rows // self._at_once))
        if self.batches:
            seconds += self._seconds_in_flight(now)
        return now + seconds > call.deadline

    def _seconds_in_flight(self, now: float) -> float:
        """Return how long batches under way should still take; overdue ones as long again."""
        if self._at_once == 1:
            return abs(self._start_of_first + self._expected_in_flight - now)
        first = next(iter(self.batches.values()))
        return abs(first.sent_at + first.expected - now) if self._is_full else 0.0

    @property
    def _start_of_first(self) -> float:
        """Return when the replica began the oldest batch."""
        return self._start_of(next(iter(self.batches.values())))

    def _start_of(self, batch: Batch) -> float:
        return max(batch.sent_at, self._last_answer_at) if self._at_once == 1 else batch.sent_at

    @property
    def _is_full(self) -> bool:
        """Return whether it works on as many batches as it can at once."""
        return len(self.batches) >= self._at_once

    # Its end, slow or sudden.

    def drain(self) -> None:
        """Leave the pool, hand back the queue, and close once all sent is answered."""
        self._draining = True
        self._owner.drains(self)
        self.hand_back_queue()
        self._close_when_idle()

    def hand_back_queue(self) -> None:
        """Give unsent calls to the other replicas."""
        self._stop_timer()
        apart, self._apart = self._apart, []
        self._owner.take_back(apart)
        self._owner.take_back(self.queue.clear())

    def close(self) -> None:
        self._stop_timer()
        self._connection.close()

    def sweep(self, *, now: float) -> None:
        """Drop calls that need not be asked any more."""
        for call in self.queue.drop_left():
            self._owner.settle(call, CANCELLED)
        self.drop_expired(now=now)

    def drop_expired(self, *, now: float) -> None:
        for call in self.queue.drop_expired(now=now):
            self._owner.settle(call, EXPIRED)
        if not self.queue.rows:
            self._stop_timer()

    def abort_if_hung(self, *, now: float) -> bool:
        """Cut the link if the oldest batch is far overdue; return whether it is."""
        limit = max(HUNG_S, 10 * self.planner.budget)
        self._hung = any(now - batch.sent_at > limit for batch in self.batches.values())
        if self._hung:
            self._connection.abort()
        return self._hung

    # What the connection calls.

    def on_frame(self, frame: Frame) -> None:
        if frame.type is FrameType.ANSWER:
            self._on_answer(frame)
        elif frame.type is FrameType.PART:
            self._on_part(frame)
        elif frame.type is FrameType.DRAIN and not self._draining:
            self.drain()
        elif frame.type is not FrameType.ERROR:
            raise ProtocolError(
                f"expected ANSWER, PART, one DRAIN or ERROR of a replica, got {frame.type.name}"
            )

    def on_lost(self, error: ConnectionLost | None) -> None:
        """Hand back all that is unanswered, and blame the batch it was working on."""
        blamed, *others = [batch.open for batch in self.batches.values()] or [[]]
        if error is None and not self._hung:  # this end closed the link
            blamed, others = [], [blamed, *others]
        self.batches.clear()
        self._alone = False
        self.in_flight = 0
        self._expected_in_flight = 0.0
        self._owner.left(self)
        self._owner.lost([call for calls in others for call in calls], blamed=blamed)
        self.hand_back_queue()

    def on_writable(self) -> None:
        self._schedule_flush()

    def _on_answer(self, frame: Frame) -> None:
        batch = self._batch_of(frame)
        answers, compute_us = decode_answers(frame.body)
        calls = batch.open
        if len(answers) != len(calls):
            raise ProtocolError(f"expected {len(calls)} answers, got {len(answers)}")
        del self.batches[frame.request_id]
        self.in_flight -= len(answers)
        self._expected_in_flight -= batch.expected
        self._learn(batch, answers=answers, model_seconds=compute_us / 1e6)
        if batch.apart:
            self._alone = False
            self._owner.answered_apart(batch.calls)
        self._flush()
        settle = self._owner.settle
        for call, answer in zip(calls, answers, strict=True):
            settle(call, answer)
        self._close_when_idle()

    def _on_part(self, frame: Frame) -> None:
        """Settle the first open calls of a batch."""
        batch = self._batch_of(frame)
        answers, compute_us = decode_answers(frame.body)
        most = len(batch.open) - 1
        if not 0 < len(answers) <= most:
            raise ProtocolError(f"expected 1 to {most} answers in a PART, got {len(answers)}")
        calls = batch.open[: len(answers)]
        batch.answered += len(calls)
        self.in_flight -= len(calls)
        batch.trace(calls, by=self.id, now=self._clock(), model_seconds=compute_us / 1e6)
        for call, answer in zip(calls, answers, strict=True):
            self._owner.settle(call, answer)

    def _batch_of(self, frame: Frame) -> Batch:
        batch = self.batches.get(frame.request_id)
        if batch is None:
            raise ProtocolError(f"got an answer to request {frame.request_id}, which is not open")
        return batch

    def _learn(self, batch: Batch, *, answers: list[Answer], model_seconds: float) -> None:
        """Learn from the time the batch took by itself, without its wait behind another."""
        now = self._clock()
        started = self._start_of(batch)
        seconds = now - started
        failed = batch.answered == 0 and all(a.status == AnswerStatus.MODEL_FAILED for a in answers)
        self.planner.record(rows=len(batch.calls), seconds=seconds, failed=failed)
        self._last_answer_at = now
        if not self.batches:
            self._free_since = now
        self._owner.batch_done(
            self, batch, seconds=seconds, model_seconds=model_seconds, failed=failed
        )
        batch.trace(batch.open, by=self.id, now=now, model_seconds=model_seconds)

    # Sending.

    def _schedule_flush(self) -> None:
        """Flush after this turn of the loop, so that what arrives in it shares a batch."""
        if not self.flush_scheduled and len(self.batches) < self._room:
            self.flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self.flush_scheduled = False
        if self._apart and not self.batches and self._connection.writable:
            self._send_apart()
        if self.asks_apart:
            return
        while self.queue.rows and len(self.batches) < self._room and self._connection.writable:
            now = self._clock()
            until = self._held_until(now)
            if until > now:
                if until < math.inf:
                    self._stop_timer()
                    self._timer = asyncio.get_running_loop().call_later(until - now, self._flush)
                return
            self._send_next()

    def _send_apart(self) -> None:
        now = self._clock()
        calls, self._apart = self._apart, []
        for call in calls:
            if call.deadline <= now:
                self._owner.settle(call, EXPIRED)
        in_time = [call for call in calls if call.deadline > now]
        self._alone = bool(in_time)
        if in_time:
            self._send(in_time, now=now, apart=True)
        else:
            self._owner.answered_apart([])

    def _held_until(self, now: float) -> float:
        """Return until when to hold the next batch, unless an answer comes before."""
        planner = self.planner
        wait = planner.wait_s
        partial = wait > 0.0 and self.queue.rows < planner.cap
        if self._is_full:
            if partial:
                return math.inf
            if not planner.holds or self._expected_in_flight <= LEAD_S:
                return now
            # It arrives while the one before it ends.
            return self._start_of_first + self._expected_in_flight - LEAD_S
        if not partial:
            return now
        # Delayed batching (paper §4.3.2), within what the first deadline leaves.
        last_moment = self.queue.earliest_deadline() - max(
            planner.budget, planner.batch_seconds(self.queue.rows)
        )
        return min(max(self._waiting_since, self._free_since) + wait, last_moment)

    def _send_next(self) -> None:
        """Send the next batch, without calls that it would answer too late."""
        self._stop_timer()
        now = finish = self._clock()
        rows = self.planner.bulk_cap if self.queue.in_no_hurry else self.planner.cap
        if self.batches or self.queue.rows > rows:
            # Others are there who can be answered in time if these leave them the replica.
            finish += self.planner.batch_seconds(min(rows, self.queue.rows))
            if self.batches:
                finish += self._seconds_in_flight(now)
        calls, late, left = self.queue.take(rows=rows, finish=finish)
        self._waiting_since = now
        for call in left:
            self._owner.settle(call, CANCELLED)
        for call in late:
            self._owner.settle(call, EXPIRED if call.deadline <= now else OVERLOADED)
        if calls:
            self._send(calls, now=now)

    def _send(self, calls: list[Call], *, now: float, apart: bool = False) -> None:
        request = self._next_request
        inputs = []
        for call in calls:
            call.sent = True
            inputs.append(call.input)
        try:
            frame = encode_predict(request, inputs)
        except ProtocolError as error:
            for call in calls:
                self._owner.settle(call, Outcome(Status.INVALID_INPUT, str(error).encode()))
            return
        self._next_request = request % 0xFFFF_FFFF + 1
        batch = Batch(calls, now, self.planner.batch_seconds(len(calls)), apart)
        self.batches[request] = batch
        self.in_flight += len(calls)
        self._expected_in_flight += batch.expected
        self._connection.send(frame)

    def _close_when_idle(self) -> None:
        if self._draining and not self.batches:
            self._connection.close()
