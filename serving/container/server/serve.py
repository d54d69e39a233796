"""Serves a loaded model until it is asked to stop: at an address, or to admitted streams."""

import argparse
import asyncio
import logging
import os
import signal
import socket
import threading
import time
from asyncio.events import _set_running_loop  # meant for implementations of loops
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from serving.container.child.link import DRAIN, STREAM
from serving.container.predictor import BatchPredictor, Predictor
from serving.container.server.batch_server import BatchServer
from serving.container.server.listener import ContainerServer
from serving.rpc.frames.codec import Answer
from serving.rpc.frames.hello import Hello

_CLOSE_ON_EXEC = getattr(socket, "MSG_CMSG_CLOEXEC", 0)  # Linux; elsewhere a moment later

Say = Callable[[dict[str, Any]], None]

logger = logging.getLogger(__name__)


class TimedPredictor:
    """Notes since when it works; hides the running loop, as the model may run its own."""

    def __init__(self, predictor: BatchPredictor) -> None:
        self._predictor = predictor
        self._since = 0.0

    @property
    def busy_s(self) -> float:
        since = self._since
        return time.monotonic() - since if since else 0.0

    def answer_batch(self, inputs: Sequence[bytes]) -> list[Answer]:
        loop = asyncio.get_running_loop()
        _set_running_loop(None)
        self._since = time.monotonic()
        try:
            return self._predictor.answer_batch(inputs)
        finally:
            self._since = 0.0
            _set_running_loop(loop)


def serve(predictor: Predictor, *, arguments: argparse.Namespace, say: Say) -> None:
    """Serve at the address of the arguments until SIGTERM or SIGINT, then drain."""
    asyncio.run(_serve(predictor, arguments=arguments, say=say))


def answer(predictor: Predictor, *, channel: socket.socket, say: Say) -> None:
    """Answer the streams that come through the channel until its peer closes it."""
    # Always this loop: others that a model installs are its own affair.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_answer(predictor, channel=channel, say=say))


async def _answer(predictor: Predictor, *, channel: socket.socket, say: Say) -> None:
    timed = TimedPredictor(predictor)
    server = BatchServer(timed)

    def report(**more: Any) -> None:
        for failure in predictor.failures.take():
            say({"failure": msgspec.to_builtins(failure)})
        statistics = msgspec.to_builtins(server.statistics)
        say({"statistics": statistics, "busy_s": timed.busy_s} | more)

    def keep_reporting() -> None:
        while True:
            time.sleep(1.0)
            report()

    threading.Thread(target=keep_reporting, name="reports", daemon=True).start()
    await serve_admitted(server, channel=channel)
    report(done=True)


async def serve_admitted(server: BatchServer, *, channel: socket.socket) -> None:
    """Answer the peers whose streams come through the channel, until it says to end."""
    loop = asyncio.get_running_loop()
    channel.setblocking(False)
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
        elif message == STREAM:
            logger.warning("peer lost: this process has too many open files to take its stream")
        elif message == DRAIN:
            server.drain()
        elif not message:
            loop.remove_reader(channel.fileno())
            for joined in joining:
                joined.cancel()
            server.drain()
            server.cut_off()

    loop.add_reader(channel.fileno(), hear)
    await server.peers_gone()
    # Streams that came right before are no peers yet, and would be cut off.
    while joining:
        await asyncio.wait(joining)
        await server.peers_gone()
    loop.remove_reader(channel.fileno())


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
        message, descriptors, _, _ = socket.recv_fds(channel, 1, 1, _CLOSE_ON_EXEC)
    except ConnectionError:
        return b"", None
    return message, socket.socket(fileno=descriptors[0]) if descriptors else None


async def _serve(predictor: Predictor, *, arguments: argparse.Namespace, say: Say) -> None:
    hello = Hello(
        replica=f"{arguments.name}-{arguments.version}-{os.getpid()}",
        model=arguments.name,
        version=arguments.version,
        version_id=arguments.version_id,
        generation=arguments.generation,
        input_type=arguments.input_type,
        concurrency=getattr(predictor, "concurrency", 1),
    )
    server = ContainerServer(predictor, hello=hello, at=arguments.address)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    say({"ok": True, "address": server.address, "replica": hello.replica, "pid": os.getpid()})
    await stop.wait()
    server.drain()
    await server.wait_closed(arguments.drain_timeout)
