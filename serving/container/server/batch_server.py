"""Takes batches from web processes, runs the model on them and answers, whoever lets them in."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from serving.container.child.link import EX_SOFTWARE, Statistics
from serving.container.failures.container_errors import explain
from serving.container.failures.tracebacks import traceback_of
from serving.rpc.connection import Connection
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import (
    Answer,
    AnswerStatus,
    Frame,
    FrameType,
    decode_predict,
    encode_answers,
    encode_frame,
    encode_in_parts,
    failed,
    fitting,
)
from serving.rpc.text import safe_text

if TYPE_CHECKING:
    from serving.container.predictor import BatchPredictor

logger = logging.getLogger(__name__)

# Batches waiting here; beyond it their senders are read no further until half are done.
MAX_BUFFERED = 64
# So many bytes of them too: a web process sends no more than two at a time, but there may be many.
MAX_BUFFERED_BYTES = 64 << 20

_DRAIN = encode_frame(FrameType.DRAIN, 0)


class ReceivedBatch(NamedTuple):
    connection: Connection
    request_id: int
    inputs: list[bytes]
    size: int


class BatchServer:
    """Answers the batches of its peers with one model, one after another, on the running loop.

    Each peer is sent `greeting` first. The model runs inline: nothing else happens on this loop
    meanwhile. Where it only waits for others (`concurrency` above 1) it works on several batches at
    once, each in a thread. The statistics may be read from any thread.
    """

    def __init__(
        self, predictor: BatchPredictor, *, greeting: bytes = b"", concurrency: int = 1
    ) -> None:
        self._counted = Statistics()
        self._draining = False
        self._pid = os.getpid()
        self._predictor = predictor
        self._greeting = greeting
        self.connections: set[Connection] = set()
        self._paused: set[Connection] = set()
        self._buffered: deque[ReceivedBatch] = deque()
        self.bytes_buffered = 0
        self._working = 0
        self._at_once = concurrency
        self._threads = ThreadPoolExecutor(concurrency) if concurrency > 1 else None
        self._under_way: set[asyncio.Task[None]] = set()
        self._scheduled = False
        self._peers_gone = asyncio.Event()

    @property
    def statistics(self) -> Statistics:
        in_flight = len(self._buffered) + self._working
        return msgspec.structs.replace(self._counted, in_flight=in_flight)

    def new_connection(self) -> Connection:
        """One to a peer, once it has a stream."""
        return Connection(
            on_connect=self._welcome,
            on_frame=self._receive,
            on_lost=self._forget,
            on_writable=self._resume,
        )

    def drain(self) -> None:
        """Ask every peer to send no more and to close; what still arrives is answered."""
        if not self._draining:
            self._draining = True
            for connection in self.connections:
                connection.send(_DRAIN)
            self._note_peers()

    async def peers_gone(self) -> None:
        """After drain(): wait until every peer has closed, or was cut off."""
        await self._peers_gone.wait()

    def cut_off(self) -> None:
        """End all connections at once, and work at nothing more."""
        if self._threads is not None:
            self._threads.shutdown(wait=False)
        for connection in list(self.connections):
            connection.abort()

    # Called by connections.

    def _welcome(self, connection: Connection) -> None:
        self.connections.add(connection)
        connection.send(self._greeting)
        if self._draining:
            self._peers_gone.clear()
            connection.send(_DRAIN)

    def _receive(self, connection: Connection, frame: Frame) -> None:
        if frame.type is FrameType.ERROR:
            logger.warning("peer error reason=%s", safe_text(frame.body.decode(errors="replace")))
            return
        if frame.type is not FrameType.PREDICT:
            raise ProtocolError(f"expected a PREDICT frame, got {frame.type.name}")
        batch = ReceivedBatch(
            connection, frame.request_id, decode_predict(frame.body), len(frame.body)
        )
        self._buffered.append(batch)
        self.bytes_buffered += batch.size
        if len(self._buffered) >= MAX_BUFFERED or self.bytes_buffered >= MAX_BUFFERED_BYTES:
            self._pause(connection)
        self._schedule()

    def _forget(self, connection: Connection, error: ConnectionLost | None) -> None:
        if isinstance(error, ConnectionLost) and isinstance(error.__cause__, ProtocolError):
            logger.warning("connection refused reason=%s", error)
        self.connections.discard(connection)
        self._paused.discard(connection)
        self._note_peers()

    def _resume(self, _connection: Connection | None = None) -> None:
        half_done = (
            len(self._buffered) <= MAX_BUFFERED // 2
            and self.bytes_buffered <= MAX_BUFFERED_BYTES // 2
        )
        if self._paused and half_done:
            for connection in [peer for peer in self._paused if peer.writable]:
                self._paused.discard(connection)
                connection.resume_reading()

    # Working.

    def _schedule(self) -> None:
        # Not inside data_received: between two batches the loop sends answers and hears signals.
        if not self._scheduled and self._buffered and self._working < self._at_once:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._work)

    def _work(self) -> None:
        self._scheduled = False
        batch = self._buffered.popleft()
        self.bytes_buffered -= batch.size
        if not batch.connection.closing:
            self._answer(batch)
        self._schedule()
        self._resume()

    def _answer(self, batch: ReceivedBatch) -> None:
        if not batch.inputs:
            # A web process asks whether this loop, which runs the model, answers it.
            batch.connection.send(encode_answers(batch.request_id, (), compute_us=0))
            return
        self._working += 1
        if self._threads is not None:
            task = asyncio.create_task(self._answer_beside(batch, threads=self._threads))
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)
            return
        started = time.perf_counter()
        try:
            answers = self._ask_model(batch.inputs)
        finally:
            self._working -= 1
        self._send(batch, answers=answers, started=started)

    async def _answer_beside(self, batch: ReceivedBatch, *, threads: ThreadPoolExecutor) -> None:
        started = time.perf_counter()
        loop = asyncio.get_running_loop()
        try:
            answers = await loop.run_in_executor(threads, self._ask_model, batch.inputs)
        finally:
            self._working -= 1
            self._schedule()
        if not batch.connection.closing:
            self._send(batch, answers=answers, started=started)

    def _send(self, batch: ReceivedBatch, *, answers: list[Answer], started: float) -> None:
        compute_us = int((time.perf_counter() - started) * 1e6)
        before = self._counted
        failures = (text for status, text in answers if status is AnswerStatus.MODEL_FAILED)
        failure = next(failures, None)
        self._counted = Statistics(
            queries=before.queries + len(answers),
            batches=before.batches + 1,
            batch_size=len(answers),
            last_error=failure.decode(errors="replace") if failure else before.last_error,
        )
        connection = batch.connection
        for data in encode_in_parts(batch.request_id, answers, compute_us=compute_us):
            connection.send(data)
        if not connection.writable:
            self._pause(connection)

    def _ask_model(self, inputs: list[bytes]) -> list[Answer]:
        try:
            answers = self._predictor.answer_batch(inputs)
        except BaseException as error:  # no batch stays without its answers
            self._end_fork()
            logger.error("predictor raised: %s", traceback_of(error) or explain(error))
            return [failed(explain(error))] * len(inputs)
        self._end_fork()
        return [fitting(answer) for answer in answers]

    def _end_fork(self) -> None:
        """End a model's fork that has come back: it must not answer too."""
        if os.getpid() != self._pid:
            os._exit(EX_SOFTWARE)

    def _pause(self, connection: Connection) -> None:
        if connection not in self._paused and not connection.closing:
            self._paused.add(connection)
            connection.pause_reading()

    def _note_peers(self) -> None:
        if self._draining and not self.connections:
            self._peers_gone.set()
