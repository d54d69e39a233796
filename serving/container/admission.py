"""How a replica's process hands web processes over to the process of its model.

It accepts and authenticates them, says HELLO and then passes their streams on (SCM_RIGHTS), so that
batches and answers pass no further process, and the model's gets no secret, no address to listen at
and no say in who the replica is. What goes through the channel is one byte: a stream with it, or
the request to drain. Its end is the end of the work.
"""

from __future__ import annotations

import array
import asyncio
import logging
import os
import socket
from asyncio.events import _set_running_loop  # meant for whoever implements a loop
from collections.abc import Sequence
from contextlib import suppress
from typing import cast

from serving.container.batch_server import BatchServer
from serving.container.predictor import BatchPredictor
from serving.rpc.forks import forget, keep_from_forks
from serving.rpc.frames import Answer

_STREAM, _DRAIN = b"s", b"d"
_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # Linux; elsewhere a moment later

logger = logging.getLogger(__name__)


class Admissions:
    """The end of the replica's process."""

    def __init__(self, channel: socket.socket) -> None:
        channel.setblocking(False)
        self._channel = channel

    def admit(self, descriptor: int) -> None:
        """Hand over the stream of a peer that was greeted; the descriptor stays the caller's.

        Raises OSError where the model's process has ended, or has long taken none.
        """
        socket.send_fds(self._channel, [_STREAM], [descriptor])

    def drain(self) -> None:
        """Ask for the end once all peers have left, which they are asked to do."""
        with suppress(OSError):  # then it ends anyway, or has to be ended
            self._channel.send(_DRAIN)

    def close(self) -> None:
        """Ask for the end; peers that are left are cut off."""
        self._channel.close()


class PassedOn(asyncio.Protocol):
    """Says HELLO on a peer's stream and hands it over, without reading anything from it."""

    def __init__(self, admissions: Admissions, *, greeting: bytes) -> None:
        self._admissions = admissions
        self._greeting = greeting
        self._descriptor = -1
        self._spoke = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        stream = cast("asyncio.Transport", transport)
        try:
            self._descriptor = os.dup(stream.get_extra_info("socket").fileno())
        except OSError as error:
            logger.warning("peer not admitted: %s", error)
            stream.abort()
            return
        stream.write(self._greeting)
        # Only this process's hold on it, once all is written; until then nothing is read.
        stream.close()

    def data_received(self, data: bytes) -> None:
        """Over TCP, what came with its proof: too soon, as it knows nobody here yet."""
        self._spoke = True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._descriptor < 0:
            return
        try:
            if exc is None and not self._spoke:
                self._admissions.admit(self._descriptor)
        except OSError as error:
            logger.warning("peer not admitted: %s", error)
        finally:
            os.close(self._descriptor)


class OutsideLoop:
    """A predictor whose model finds no event loop running around it, and may run one of its own."""

    def __init__(self, predictor: BatchPredictor) -> None:
        self._predictor = predictor

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        _set_running_loop(None)
        try:
            return self._predictor.answer_batch(inputs)
        finally:
            _set_running_loop(loop)


async def serve_admitted(server: BatchServer, *, channel: socket.socket) -> None:
    """The end of the model's process: answer whom the replica's admits, until told to end."""
    loop = asyncio.get_running_loop()
    channel.setblocking(False)
    keep_from_forks(channel.fileno())
    joining: set[asyncio.Task[object]] = set()

    def hear() -> None:
        try:
            message, stream = _receive(channel)
        except BlockingIOError:
            return
        if stream is not None:
            joins = loop.create_task(_join(server, stream=stream))
            joining.add(joins)
            joins.add_done_callback(joining.discard)
        elif message == _STREAM:
            logger.warning("peer lost: this process has too many open files to take its stream")
        elif message == _DRAIN:
            server.drain()
        elif not message:
            loop.remove_reader(channel.fileno())
            for joined in joining:
                joined.cancel()
            server.drain()
            server.cut_off()

    loop.add_reader(channel.fileno(), hear)
    await server.peers_gone()
    # Whose streams came right before are no peers yet, and would be cut off.
    while joining:
        await asyncio.wait(joining)
        await server.peers_gone()
    loop.remove_reader(channel.fileno())
    forget(channel.fileno())


async def _join(server: BatchServer, *, stream: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(server.new_connection, stream)
    except asyncio.CancelledError:
        stream.close()
        raise
    except OSError as error:
        logger.warning("peer lost: %s", error)
        stream.close()


def _receive(channel: socket.socket) -> tuple[bytes, socket.socket | None]:
    try:
        message, ancillary, _, _ = channel.recvmsg(1, socket.CMSG_SPACE(4), _CLOSE_ON_EXEC)
    except ConnectionError:
        return b"", None
    descriptors = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            descriptors.frombytes(data[: len(data) - len(data) % descriptors.itemsize])
    if not descriptors:
        return message, None
    stream = socket.socket(fileno=descriptors[0])
    stream.set_inheritable(False)
    return message, stream
