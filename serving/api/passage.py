"""A connection on its way from one process to another: its socket, and what was read of it.

Over a Unix socket come a head, which says how many bytes follow, with the connection's descriptor,
and then these bytes. Whoever gets them says so with one byte, before it does anything else. Until
then the connection is the sender's, and never anybody's but one's: a sender that has waited long
enough closes its ears first, and then either finds that byte or knows that none can be said.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from array import array
from contextlib import suppress
from typing import NamedTuple

HEAD = struct.Struct("!BI")
# Both ends may be of different releases while the stack is upgraded.
FORMAT = 1
TAKEN = b"\x01"
# A head and one chunk of what is behind it are less.
MOST_BYTES = 1 << 20
# A process that is there answers within milliseconds, one that is started anew within this time.
SECONDS = 10.0
# Where a process dies of, or during, a passage, another one may take it.
TRIES = 3

_CREDENTIALS = struct.Struct("3i")


class Passed(NamedTuple):
    """A connection, and what was read of it."""

    connection: socket.socket
    data: bytes


class BrokenPassage(Exception):
    """What comes is none: another format, no connection, or too many bytes."""


async def passed(connection: int, data: bytes, *, to: str, seconds: float = SECONDS) -> bool:
    """Hand a connection over to a process that listens at `to`; tell whether one has taken it.

    Where none has, nobody has it but the caller, and nobody will.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    message = HEAD.pack(FORMAT, len(data)) + data
    for _ in range(TRIES):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
            channel.setblocking(False)
            try:
                channel.connect(to)
                sent = socket.send_fds(channel, [message], [connection])
            except OSError:  # nobody there, or too many who wait
                return False
            taken = await _taken(channel, message[sent:], until=until)
        if taken or loop.time() >= until:
            return taken
    return False


async def _taken(channel: socket.socket, rest: bytes, *, until: float) -> bool:
    with suppress(TimeoutError, OSError):
        async with asyncio.timeout_at(until):
            if rest:
                await asyncio.get_running_loop().sock_sendall(channel, rest)
            await _readable(channel)
    with suppress(OSError):
        channel.shutdown(socket.SHUT_RD)
        return channel.recv(1) == TAKEN
    return False


async def received(channel: socket.socket, *, seconds: float = SECONDS) -> Passed:
    """Return what comes over a channel; raises BrokenPassage, OSError or TimeoutError.

    It isn't the caller's before it is `claimed`.
    """
    descriptors: list[int] = []
    data = bytearray()
    try:
        async with asyncio.timeout(seconds):
            while len(data) < _expected(data):
                await _receive(channel, data, descriptors)
        if len(descriptors) != 1 or len(data) > _expected(data):
            raise BrokenPassage(f"{len(descriptors)} descriptors with {len(data)} bytes")
        connection = _connection(descriptors[0])
        descriptors.clear()
        return Passed(connection, bytes(data[HEAD.size :]))
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _connection(descriptor: int) -> socket.socket:
    """Return the connection that a descriptor is of; one of something else is left open."""
    try:
        found = socket.socket(fileno=descriptor)
    except OSError:
        raise BrokenPassage("the descriptor of a file") from None
    listens = found.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if found.type != socket.SOCK_STREAM or listens:
        found.detach()
        raise BrokenPassage(f"the descriptor of {found.family!r}, {found.type!r}")
    return found


def claimed(channel: socket.socket) -> bool:
    """Say that this process has what it received; tell whether the sender still wanted that."""
    try:
        return channel.send(TAKEN) == len(TAKEN)
    except OSError:
        return False


def is_of_this_user(channel: socket.socket) -> bool:
    """Whether who is at the other end runs as the same user as this process."""
    sent = channel.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, user, _ = _CREDENTIALS.unpack(sent)
    return bool(user == os.geteuid())


def _expected(data: bytearray) -> int:
    """Return how many bytes there will be, as far as those that came tell."""
    if len(data) < HEAD.size:
        return HEAD.size
    form, size = HEAD.unpack_from(data)
    if form != FORMAT or size > MOST_BYTES:
        raise BrokenPassage(f"format {form}, {size} bytes")
    return int(HEAD.size + size)


async def _receive(channel: socket.socket, data: bytearray, descriptors: list[int]) -> None:
    """Take what there is, or wait for something."""
    number = array("i")
    room = socket.CMSG_LEN(number.itemsize)
    try:
        more, beside, flags, _ = channel.recvmsg(MOST_BYTES, room, socket.MSG_CMSG_CLOEXEC)
    except BlockingIOError:
        await _readable(channel)
        return
    for level, kind, content in beside:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            number.frombytes(content)
    descriptors += number
    if flags & socket.MSG_CTRUNC:
        raise BrokenPassage("several descriptors, or more than this process may have open")
    if not more:
        raise BrokenPassage("the sender has left")
    data += more


async def _readable(channel: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = loop.create_future()
    loop.add_reader(channel, _note, ready)
    try:
        await ready
    finally:
        loop.remove_reader(channel)


def _note(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)
