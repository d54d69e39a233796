"""A process that can open no more files drops the peer, and says so."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from serving.container.child.link import DRAIN, STREAM
from serving.container.server.batch_server import BatchServer
from serving.container.server.listener import PassedOn
from serving.container.server.serve import serve_admitted
from serving.rpc.frames.codec import FrameDecoder, FrameType, decode_answers, encode_predict
from tests.serving.container.server.test_server import Echo

WITHIN_S = 20.0


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (128, hard))
    try:
        with suppress(OSError):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for descriptor in held:
            os.close(descriptor)


def admit(stream: socket.socket, *, by: socket.socket) -> None:
    """Hand over a stream as a replica's process does."""
    with stream:
        socket.send_fds(by, [STREAM], [stream.fileno()])


async def end_of(peer: socket.socket) -> bytes:
    peer.setblocking(False)
    async with asyncio.timeout(WITHIN_S):
        return await asyncio.get_running_loop().sock_recv(peer, 100)


def refuse(descriptor: int) -> None:
    raise BrokenPipeError(f"{descriptor} isn't taken")


async def test_where_a_model_s_process_takes_none(caplog: pytest.LogCaptureFixture) -> None:
    peer, stream = socket.socketpair()
    with peer:
        admitting = PassedOn(refuse, greeting=b"hello")
        await asyncio.get_running_loop().connect_accepted_socket(lambda: admitting, stream)
        assert await end_of(peer) == b"hello"
        assert await end_of(peer) == b""
    assert "isn't taken" in caplog.text


async def test_where_a_replica_s_process_has_none_left(caplog: pytest.LogCaptureFixture) -> None:
    peer, stream = socket.socketpair()
    with peer:
        admitting = PassedOn(refuse, greeting=b"hello")
        with no_descriptor_left():
            await asyncio.get_running_loop().connect_accepted_socket(lambda: admitting, stream)
        assert await end_of(peer) == b""
    assert "peer not admitted: [Errno 24] Too many open files" in caplog.text


async def test_where_a_model_s_process_has_none_left(caplog: pytest.LogCaptureFixture) -> None:
    ours, channel = socket.socketpair()
    peer, stream = socket.socketpair()
    with ours, channel, peer:
        serving = asyncio.create_task(serve_admitted(BatchServer(Echo()), channel=channel))
        admit(stream, by=ours)
        with no_descriptor_left():
            assert await end_of(peer) == b""
        ours.close()
        async with asyncio.timeout(WITHIN_S):
            await serving
    assert "peer lost: this process has too many open files to take its stream" in caplog.text


async def test_who_was_admitted_right_before_the_drain_is_answered_and_waited_for() -> None:
    ours, channel = socket.socketpair()
    peer, stream = socket.socketpair()
    with ours, channel, peer:
        admit(stream, by=ours)
        ours.send(DRAIN)
        serving = asyncio.create_task(serve_admitted(BatchServer(Echo()), channel=channel))
        frames = FrameDecoder()
        (drain,) = frames.feed(await end_of(peer))
        assert drain.type is FrameType.DRAIN
        peer.sendall(encode_predict(1, [b"[7]"]))
        (answered,) = frames.feed(await end_of(peer))
        assert [answer.payload for answer in decode_answers(answered.body)[0]] == [b"[7]"]
        assert not serving.done()
        peer.close()
        async with asyncio.timeout(WITHIN_S):
            await serving
