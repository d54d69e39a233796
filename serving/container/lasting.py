"""Has a model answer those that ask its process, as long as it serves."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec

from serving.container.admission import OutsideLoop, serve_admitted
from serving.container.batch_server import BatchServer
from serving.container.busy import BusyPredictor
from serving.container.predictor import Predictor
from serving.container.server import ContainerServer
from serving.container.statistics import Statistics
from serving.rpc.address import TcpAddress, parse_address
from serving.rpc.credentials import Credentials, replica_tls
from serving.rpc.errors import InvalidAddress
from serving.rpc.hello import Hello
from serving.rpc.listening import TcpListen

# How often failures and counts are told to whoever keeps them.
TELL_S = 1.0

Say = Callable[[dict[str, Any]], None]


def serve(predictor: Predictor, *, arguments: argparse.Namespace, say: Say) -> None:
    """Serve at the address of the arguments until SIGTERM or SIGINT, then drain."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(predictor, arguments=arguments, say=say))


def answer(predictor: Predictor, *, channel: socket.socket, busy: int, say: Say) -> None:
    """Answer those that come through the channel until its peer closes it."""
    # Always this loop: what others a model brings, or installs, is its own affair.
    with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
        runner.run(_answer(predictor, channel=channel, busy=busy, say=say))
    _tell_failures(predictor, say=say)


async def _answer(predictor: Predictor, *, channel: socket.socket, busy: int, say: Say) -> None:
    server = BatchServer(OutsideLoop(BusyPredictor(predictor, descriptor=busy)))
    telling = threading.Thread(
        target=_go_on_telling, args=(predictor, server), kwargs={"say": say}, daemon=True
    )
    telling.start()
    await serve_admitted(server, channel=channel)


def _go_on_telling(predictor: Predictor, server: BatchServer, *, say: Say) -> None:
    told = Statistics()
    while True:
        time.sleep(TELL_S)
        _tell_failures(predictor, say=say)
        if (statistics := server.statistics) != told:
            say({"statistics": msgspec.to_builtins(statistics)})
            told = statistics


def _tell_failures(predictor: Predictor, *, say: Say) -> None:
    """Each in a line of its own, which its reader bounds (`boxed.LONGEST_LINE`)."""
    for failure in predictor.failures.take():
        say({"failure": msgspec.to_builtins(failure)})


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
    server = ContainerServer(
        predictor, hello=hello, address=arguments.address, listen=_listen(arguments.address)
    )
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    say({"ok": True, "address": server.address, "replica": hello.replica, "pid": os.getpid()})
    await stop.wait()
    server.drain()
    await server.wait_closed(arguments.drain_timeout)


def _listen(address: str) -> TcpListen | None:
    """For a TCP address, how peers authenticate: by the cluster's secret, from the environment."""
    target = parse_address(address)
    if not isinstance(target, TcpAddress):
        return None
    secret = os.environ.get("CLIPPER_CLUSTER_SECRET")
    if not secret:
        raise InvalidAddress(f"expected CLIPPER_CLUSTER_SECRET in the environment for {address}")
    certificate, key = (os.environ.get(f"CLIPPER_TLS_{name}") for name in ("CERT", "KEY"))
    return TcpListen(
        advertise_host=target.host,
        bind_host=target.host,
        ports=range(target.port, target.port + 1),
        credentials=Credentials(
            secret=secret.encode(),
            tls=replica_tls(certificate=Path(certificate), key=Path(key))
            if certificate and key
            else None,
        ),
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's loop where it is installed: a model's own environment need not have it."""
    with suppress(ImportError):
        import uvloop

        return uvloop.new_event_loop
    return None
