"""One connected replica: its queue, its batch controller and the batches it is working on."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from time import monotonic
from typing import Protocol

from serving.engine.batching import Aimd
from serving.engine.outcome import EXPIRED, Outcome, Status
from serving.engine.questions import Call
from serving.rpc.connection import Connection
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames import Frame, FrameType, Hello, decode_answers, encode_predict

# While the replica works on one batch the next is already on its way, so that it never idles.
PIPELINE = 2
# A batch of large inputs ends here, far below what a frame may hold.
MAX_BATCH_BYTES = 16 << 20
# A replica that has not answered for this long, nor for this many times its budget, hangs.
HUNG_S = 10.0
HUNG_BUDGETS = 10.0


class Owner(Protocol):
    """The pool a replica belongs to: takes what a replica settles or cannot answer any more."""

    def settle(self, call: Call, outcome: Outcome) -> None: ...

    def take_back(self, calls: Iterable[Call], *, lost: bool) -> None: ...

    def left(self, replica: Replica) -> None: ...

    def batch_done(self, *, size: int, seconds: float, model_seconds: float) -> None: ...


@dataclass(frozen=True, slots=True)
class Batch:
    calls: list[Call]
    sent_at: float


class Replica:
    """Sends batches as large as its controller allows as soon as the pipeline has room."""

    def __init__(
        self, *, hello: Hello, connection: Connection, controller: Aimd, owner: Owner
    ) -> None:
        self.id = hello.replica
        self.controller = controller
        self._draining = False
        self._connection = connection
        self._owner = owner
        self._queue: deque[Call] = deque()
        self._batches: dict[int, Batch] = {}
        self._in_flight = 0
        self._next_request = 1
        self._flush_scheduled = False
        self._last_answer_at = 0.0

    @property
    def load(self) -> int:
        """Queries that a new one would have to wait for."""
        return len(self._queue) + self._in_flight

    def enqueue(self, call: Call) -> None:
        self._queue.append(call)
        self._schedule_flush()

    def drain(self) -> None:
        """Leave the pool and hand back what is not sent yet; close once all sent is answered."""
        self._draining = True
        self._owner.left(self)
        unsent = list(self._queue)
        self._queue.clear()
        self._owner.take_back(unsent, lost=False)
        self._close_when_idle()

    def close(self) -> None:
        self._connection.close()

    def abort_if_hung(self, *, now: float) -> bool:
        """Cut the link to a replica whose oldest batch is overdue beyond all measure."""
        limit = max(HUNG_S, HUNG_BUDGETS * self.controller.budget)
        hung = any(now - batch.sent_at > limit for batch in self._batches.values())
        if hung:
            self._connection.abort()
        return hung

    # What the connection calls.

    def on_frame(self, frame: Frame) -> None:
        if frame.type is FrameType.ANSWER:
            self._on_answer(frame)
        elif frame.type is FrameType.DRAIN:
            self.drain()
        elif frame.type is not FrameType.ERROR:
            raise ProtocolError(f"expected ANSWER, DRAIN or ERROR from a replica, got {frame.type}")

    def on_lost(self, error: ConnectionLost | None) -> None:
        """Hand back everything unanswered: the sent ones may have been the reason."""
        sent = [call for batch in self._batches.values() for call in batch.calls]
        unsent = list(self._queue)
        self._batches.clear()
        self._queue.clear()
        self._in_flight = 0
        self._owner.left(self)
        self._owner.take_back(sent, lost=True)
        self._owner.take_back(unsent, lost=False)

    def on_writable(self) -> None:
        self._schedule_flush()

    def _on_answer(self, frame: Frame) -> None:
        batch = self._batches.pop(frame.request_id, None)
        if batch is None:
            raise ProtocolError(f"got an answer to request {frame.request_id}, which is not open")
        answers, compute_us = decode_answers(frame.body)
        size = len(batch.calls)
        if len(answers) != size:
            self._batches[frame.request_id] = batch
            raise ProtocolError(f"expected {size} answers, got {len(answers)}")
        self._in_flight -= size
        self._learn(batch, model_seconds=compute_us / 1e6)
        self._flush()
        settle = self._owner.settle
        for call, answer in zip(batch.calls, answers, strict=True):
            settle(call, Outcome(answer.status, answer.payload))
        self._close_when_idle()

    def _learn(self, batch: Batch, *, model_seconds: float) -> None:
        """Feed the controller the time this batch took by itself, not its wait behind another."""
        now = monotonic()
        seconds = now - max(batch.sent_at, self._last_answer_at)
        self._last_answer_at = now
        size = len(batch.calls)
        self.controller.record(size=size, latency=seconds)
        self._owner.batch_done(size=size, seconds=seconds, model_seconds=model_seconds)

    def _schedule_flush(self) -> None:
        """Flush after this turn of the loop, so that all that arrives in it shares a batch."""
        if not self._flush_scheduled and len(self._batches) < PIPELINE:
            self._flush_scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_scheduled = False
        while self._queue and len(self._batches) < PIPELINE and self._connection.writable:
            if calls := self._next_batch():
                self._send(calls)

    def _next_batch(self) -> list[Call]:
        """Take the next queries, dropping those whose deadline has passed."""
        now = monotonic()
        cap = self.controller.cap
        calls: list[Call] = []
        size = 0
        while self._queue and len(calls) < cap:
            size += len(self._queue[0].input)
            if calls and size > MAX_BATCH_BYTES:
                break
            call = self._queue.popleft()
            if call.deadline > now:
                calls.append(call)
            else:
                self._owner.settle(call, EXPIRED)
        return calls

    def _send(self, calls: list[Call]) -> None:
        request = self._next_request
        try:
            frame = encode_predict(request, [call.input for call in calls])
        except ProtocolError as error:
            for call in calls:
                self._owner.settle(call, Outcome(Status.INVALID_INPUT, str(error).encode()))
            return
        self._next_request = request % 0xFFFF_FFFF + 1
        self._batches[request] = Batch(calls, monotonic())
        self._in_flight += len(calls)
        self._connection.send(frame)

    def _close_when_idle(self) -> None:
        if self._draining and not self._batches:
            self._connection.close()
