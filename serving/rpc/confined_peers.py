"""Tells processes with a model's code from the stack's own, when they connect by Unix sockets."""

import asyncio
import logging
import os
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import cast

_CREDENTIALS = struct.Struct("3i")

logger = logging.getLogger(__name__)


class KeepModelsOut(asyncio.Protocol):
    """Leaves a new stream to the protocol that is made for it, unless a model's process dialled."""

    def __init__(self, new_protocol: Callable[[], asyncio.Protocol]) -> None:
        self._new_protocol = new_protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the methods, not the base class.
        stream = cast("asyncio.Transport", transport)
        if is_model(stream.get_extra_info("socket")):
            logger.warning("connection refused: it is of a model's process")
            stream.abort()
            return
        protocol = self._new_protocol()
        stream.set_protocol(protocol)
        protocol.connection_made(stream)


def is_model(connected: socket.socket) -> bool:
    """Return whether a confined process of this container connected to an unconfined one."""
    if not hasattr(socket, "SO_PEERCRED"):  # not on Linux
        return False
    credentials = connected.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, _, _ = _CREDENTIALS.unpack(credentials)
    return pid > 0 and not _is_confined(os.getpid()) and _is_confined(pid)


def _is_confined(pid: int) -> bool:
    """Return whether a process can gain no privileges, or has ended."""
    try:
        return "NoNewPrivs:\t0" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return True
