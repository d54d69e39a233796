"""Asks a replica about a few inputs at a time, from the control worker."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from django.conf import settings

from serving.cluster.membership.records import ReplicaRecord
from serving.rpc.connection import Connection, connect
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import Answer, Frame, FrameType, decode_answers, encode_predict
from serving.rpc.frames.hello import decode_hello
from serving.rpc.tcp.credentials import Authentication, Credentials, web_tls

ANSWER_S = 30.0


class Answered(NamedTuple):
    """Answers in the order of their inputs, and the seconds that the model took for all."""

    answers: list[Answer]
    seconds: float


class ReplicaAsker:
    """Connections to replicas, kept from question to question; of one thread alone."""

    def __init__(self) -> None:
        self._runner = asyncio.Runner()
        self._links: dict[str, _ReplicaLink] = {}

    def ask(self, record: ReplicaRecord, inputs: Sequence[bytes]) -> Answered:
        """Return a replica's answers. Raises ConnectionLost if it gives none in time."""
        return self._runner.run(self._ask(record, inputs))

    async def _ask(self, record: ReplicaRecord, inputs: Sequence[bytes]) -> Answered:
        link = self._links.get(record.id)
        try:
            async with asyncio.timeout(ANSWER_S):
                if link is None or link.closing:
                    self._links = {i: one for i, one in self._links.items() if not one.closing}
                    link = self._links[record.id] = await _ReplicaLink.opened(record)
                return await link.ask(inputs)
        except TimeoutError as error:
            if link is not None:
                link.close()
            raise ConnectionLost(f"no answer within {ANSWER_S:g} s") from error


class _ReplicaLink:
    """One connection: HELLO, then a batch at a time."""

    def __init__(self, record: ReplicaRecord) -> None:
        self._record = record
        self._connection: Connection | None = None
        self._parts: list[Answer] = []
        self._microseconds = 0
        self._request = 0
        self._awaited: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.closing = False

    @classmethod
    async def opened(cls, record: ReplicaRecord) -> "_ReplicaLink":
        link = cls(record)
        link._connection = await connect(
            record.address,
            on_frame=link._on_frame,
            on_lost=link._on_lost,
            timeout=5.0,
            authentication=_authentication(record.id),
        )
        await link._awaited
        return link

    async def ask(self, inputs: Sequence[bytes]) -> Answered:
        assert self._connection is not None  # noqa: S101  (it was opened)
        self._request, self._parts, self._microseconds = self._request + 1, [], 0
        self._awaited = asyncio.get_running_loop().create_future()
        self._connection.send(encode_predict(self._request, inputs))
        await self._awaited
        if len(self._parts) != len(inputs):
            raise ConnectionLost(f"expected {len(inputs)} answers, got {len(self._parts)}")
        return Answered(self._parts, self._microseconds / 1e6)

    def close(self) -> None:
        self.closing = True
        if self._connection is not None:
            self._connection.abandon()

    def _on_frame(self, connection: Connection, frame: Frame) -> None:
        if frame.type is FrameType.HELLO:
            hello, record = decode_hello(frame.body), self._record
            wanted = (record.id, record.version_id, record.generation)
            if (hello.replica, hello.version_id, hello.generation) != wanted:
                raise ProtocolError(f"expected replica {record.id}, got {hello.replica}")
            self._settle()
        elif frame.type is FrameType.DRAIN:
            self.closing = True
        elif frame.type in (FrameType.ANSWER, FrameType.PART):
            answers, microseconds = decode_answers(frame.body)
            self._parts += answers
            self._microseconds += microseconds
            if frame.type is FrameType.ANSWER:
                self._settle()

    def _on_lost(self, connection: Connection, error: ConnectionLost | None) -> None:
        self.closing = True
        if not self._awaited.done():
            self._awaited.set_exception(error or ConnectionLost("the connection was closed"))

    def _settle(self) -> None:
        if not self._awaited.done():
            self._awaited.set_result(None)


def _authentication(replica_id: str) -> Authentication:
    authority = settings.CLIPPER_TLS_CA
    return Credentials(
        secret=settings.CLIPPER_CLUSTER_SECRET.encode(),
        tls=web_tls(authority=Path(authority)) if authority else None,
    ).to(replica_id)
