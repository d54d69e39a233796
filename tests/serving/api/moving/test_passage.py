"""A connection on its way is one process' at any time, whatever becomes of the two ends."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import uvicorn

from serving.api import arrivals
from serving.api.passage import (
    FORMAT,
    HEAD,
    MOST_BYTES,
    BrokenPassage,
    Passed,
    claimed,
    is_of_this_user,
    passed,
    received,
)
from tests.serving.api.moving.two_kinds import listening_at, open_descriptors

DATA = os.urandom(600_000)
LIMIT_S = 20


@contextmanager
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, other = socket.socketpair()
    with one, other:
        one.setblocking(False)
        other.setblocking(False)
        yield one, other


async def accepted(listening: socket.socket) -> socket.socket:
    listening.setblocking(False)
    channel, _ = await asyncio.get_running_loop().sock_accept(listening)
    channel.setblocking(False)
    return channel


async def test_what_was_read_comes_with_the_connection(tmp_path: Path) -> None:
    with listening_at(tmp_path / "s") as listening, pair() as (connection, client):
        sending = asyncio.create_task(passed(connection.fileno(), DATA, to=str(tmp_path / "s")))
        with await accepted(listening) as channel:
            assert is_of_this_user(channel)
            came, data = await received(channel)
            with came:
                assert data == DATA
                assert not sending.done()
                assert claimed(channel)
                assert await sending
                connection.close()
                came.send(b"hello")
                assert client.recv(10) == b"hello"


async def test_a_connection_is_not_inherited_by_children(tmp_path: Path) -> None:
    with listening_at(tmp_path / "s") as listening, pair() as (connection, _):
        sending = asyncio.create_task(
            passed(connection.fileno(), b"", to=str(tmp_path / "s"), seconds=1.0)
        )
        with await accepted(listening) as channel:
            came, _ = await received(channel)
            with came:
                assert not came.get_inheritable()
        assert not await sending


async def test_who_was_too_slow_can_not_claim_it(tmp_path: Path) -> None:
    with listening_at(tmp_path / "s") as listening, pair() as (connection, _):
        sending = asyncio.create_task(
            passed(connection.fileno(), DATA[:100], to=str(tmp_path / "s"), seconds=0.1)
        )
        with await accepted(listening) as channel:
            came, _ = await received(channel)
            with came:
                assert not await sending
                assert not claimed(channel)


async def test_where_one_dies_of_it_another_one_gets_it(tmp_path: Path) -> None:
    with listening_at(tmp_path / "s") as listening, pair() as (connection, _):
        sending = asyncio.create_task(passed(connection.fileno(), DATA, to=str(tmp_path / "s")))
        (await accepted(listening)).close()
        with await accepted(listening) as channel:
            came, data = await received(channel)
            with came:
                assert data == DATA
                assert claimed(channel)
                assert await sending


async def test_where_all_die_of_it_the_sender_keeps_it(tmp_path: Path) -> None:
    with listening_at(tmp_path / "s") as listening, pair() as (connection, _):
        sending = asyncio.create_task(
            passed(connection.fileno(), DATA, to=str(tmp_path / "s"), seconds=30.0)
        )
        for _ in range(3):
            (await accepted(listening)).close()
        assert not await sending


async def test_nobody_there_is_known_at_once(tmp_path: Path) -> None:
    with pair() as (connection, _):
        assert not await passed(connection.fileno(), b"", to=str(tmp_path / "s"))
        listening_at(tmp_path / "s").close()
        assert not await passed(connection.fileno(), b"", to=str(tmp_path / "s"))


BROKEN = {
    "nothing": (b"", 0),
    "another format": (HEAD.pack(FORMAT + 1, 3) + b"abc", 1),
    "too many bytes": (HEAD.pack(FORMAT, MOST_BYTES + 1), 1),
    "more than it says": (HEAD.pack(FORMAT, 3) + b"abcd", 1),
    "less than it says": (HEAD.pack(FORMAT, 3) + b"ab", 1),
    "no connection": (HEAD.pack(FORMAT, 3) + b"abc", 0),
    "two connections": (HEAD.pack(FORMAT, 3) + b"abc", 2),
}


@pytest.mark.parametrize(("message", "count"), BROKEN.values(), ids=BROKEN)
async def test_what_is_no_passage_is_refused_and_leaves_nothing_open(
    message: bytes, count: int
) -> None:
    with pair() as (here, there), pair() as connections:
        before = open_descriptors()
        descriptors = [each.fileno() for each in connections[:count]]
        if message:
            socket.send_fds(there, [message], descriptors)
        there.shutdown(socket.SHUT_WR)
        with pytest.raises(BrokenPassage):
            await received(here)
        assert open_descriptors() == before


async def test_what_does_not_come_in_time_is_given_up() -> None:
    with pair() as (here, there), pair() as (connection, _):
        before = open_descriptors()
        socket.send_fds(there, [HEAD.pack(FORMAT, 3)], [connection.fileno()])
        with pytest.raises(TimeoutError):
            await received(here, seconds=0.1)
        assert open_descriptors() == before


async def test_a_file_is_no_connection(tmp_path: Path) -> None:
    with (tmp_path / "f").open("wb") as file, pair() as (here, there):
        before = open_descriptors()
        socket.send_fds(there, [HEAD.pack(FORMAT, 0)], [file.fileno()])
        with pytest.raises(BrokenPassage):
            await received(here)
        assert open_descriptors() == before


async def test_a_listening_socket_is_no_connection(tmp_path: Path) -> None:
    with closing(listening_at(tmp_path / "s")) as listening, pair() as (here, there):
        before = open_descriptors()
        socket.send_fds(there, [HEAD.pack(FORMAT, 0)], [listening.fileno()])
        with pytest.raises(BrokenPassage):
            await received(here)
        assert open_descriptors() == before


BY_ANOTHER = """
import os, socket, sys
from serving.api.passage import is_of_this_user
with socket.socket(socket.AF_UNIX) as listening, socket.socket(socket.AF_UNIX) as stranger:
    listening.bind("\\0clipper-test-%d" % os.getpid())
    listening.listen()
    os.seteuid(int(sys.argv[1]))
    stranger.connect(listening.getsockname())
    os.seteuid(0)
    with listening.accept()[0] as channel:
        print(is_of_this_user(channel))
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize(("user", "known"), [(0, "True"), (65534, "False")])
def test_a_process_of_another_user_is_a_stranger(user: int, known: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", BY_ANOTHER, str(user)], capture_output=True, text=True, timeout=50
    )
    assert (done.returncode, done.stdout.strip()) == (0, known), done.stderr


async def test_a_sender_that_stops_halfway_holds_nobody_up_who_ends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def endless(channel: socket.socket) -> Passed:
        begun.set()
        return await received(channel, seconds=float("inf"))

    monkeypatch.setattr(arrivals, "received", endless)
    with listening_at(tmp_path / "s") as listening, socket.socket(socket.AF_UNIX) as sender:
        waiting = arrivals.Arrivals(
            listening, server=uvicorn.Server(uvicorn.Config("nobody:asked"))
        )
        sender.connect(str(tmp_path / "s"))
        sender.send(HEAD.pack(FORMAT, 10)[:2])
        async with asyncio.timeout(LIMIT_S):
            await begun.wait()
            waiting.close()
            await waiting.closed()
        assert sender.recv(1) == b""
