"""One container asked batch after batch, without an engine in between: what a batch takes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from time import perf_counter

from serving.rpc.connection import Connection, connect
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames import AnswerStatus, Frame, FrameType, decode_answers, encode_predict

CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 60.0


class ProbeFailed(Exception):
    """The container did not answer, or an answer was a failure."""


class Probe:
    """Sends one batch at a time over the real connection and waits for its answer."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        self._arrived: asyncio.Future[Frame] | None = None
        self._request = 0

    async def connect(self, address: str) -> None:
        self._connection = await connect(
            address, on_frame=self._on_frame, on_lost=self._on_lost, timeout=CONNECT_SECONDS
        )

    async def seconds(self, inputs: Sequence[bytes]) -> float:
        """From encoding the batch to having its answers decoded, as a replica's owner sees it."""
        assert self._connection is not None
        self._arrived = asyncio.get_running_loop().create_future()
        self._request += 1
        started = perf_counter()
        self._connection.send(encode_predict(self._request, inputs))
        async with asyncio.timeout(ANSWER_SECONDS):
            frame = await self._arrived
        answers, _ = decode_answers(frame.body)
        seconds = perf_counter() - started
        if any(answer.status is not AnswerStatus.OK for answer in answers):
            raise ProbeFailed(f"A model failed: {answers[0].payload.decode(errors='replace')}")
        return seconds

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        if frame.type is FrameType.ANSWER and self._arrived is not None:
            self._arrived.set_result(frame)

    def _on_lost(self, connection: Connection, error: ConnectionLost | None) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_exception(ProbeFailed(f"The container is gone: {error}"))


@asynccontextmanager
async def probing(address: str) -> AsyncIterator[Probe]:
    probe = Probe()
    await probe.connect(address)
    try:
        yield probe
    finally:
        probe.close()
