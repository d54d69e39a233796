"""A connection delivers frames and says once, and truly, how it ended; on both event loops."""

import asyncio
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from serving.rpc.connection import Connection, connect
from serving.rpc.errors import ConnectionLost, ProtocolError
from serving.rpc.frames.codec import Frame, FrameType, encode_frame, encode_predict
from serving.rpc.frames.hello import encode_hello
from tests.serving.rpc.conftest import CREDENTIALS, HELLO, End, listen


@asynccontextmanager
async def linked(address: str) -> AsyncIterator[tuple[Connection, End, Connection, End]]:
    """Yield (client connection, client, server connection, server)."""
    server, client = End(), End()
    listener = await listen(
        address,
        on_connect=server.on_connect,
        on_frame=server.on_frame,
        on_lost=server.on_lost,
        on_writable=server.on_writable,
        authentication=CREDENTIALS.of(HELLO),
    )
    if address.startswith("tcp"):
        address = f"tcp:127.0.0.1:{listener.sockets[0].getsockname()[1]}"
        # Authentication ends with a HELLO, which this server says in place of its owner.
        server.first_words = encode_hello(HELLO)
    near = await connect(
        address,
        on_frame=client.on_frame,
        on_lost=client.on_lost,
        timeout=5,
        authentication=CREDENTIALS.to(HELLO.replica),
    )
    far = await asyncio.wait_for(server.connected, 30)
    if server.first_words:
        assert (await client.frames.get()).type is FrameType.HELLO
    try:
        async with asyncio.timeout(20):  # pytest's own limit does not reach into uvloop
            yield near, client, far, server
    finally:
        near.abort()
        far.abort()
        listener.close()
        await client.lost
        await server.lost


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_frames_travel_both_ways(path: Path, scheme: str) -> None:
    address = f"unix:{path}" if scheme == "unix" else "tcp:127.0.0.1:0"
    async with linked(address) as (near, client, far, server):
        inputs = [b"x" * 6000] * 64
        near.send(encode_predict(7, inputs))
        assert (await server.frames.get()).request_id == 7
        far.send(encode_frame(FrameType.ANSWER, 7, b"yes"))
        assert await client.frames.get() == Frame(FrameType.ANSWER, 7, b"yes")


async def test_the_end_of_the_stream_is_an_error(path: Path) -> None:
    async with linked(f"unix:{path}") as (near, client, far, server):
        far.close()
        lost = await client.lost
        assert isinstance(lost, ConnectionLost)
        assert "the peer closed the connection" in str(lost)
        assert await server.lost is None
        assert client.frames.empty()
        assert near.closing
        assert not near.writable


async def test_an_end_in_the_middle_of_a_frame_says_so(path: Path) -> None:
    async with linked(f"unix:{path}") as (_near, client, far, _server):
        far.send(encode_frame(FrameType.ANSWER, 1, b"x" * 100)[:50])
        far.close()
        assert "in the middle of a frame: expected 112 bytes, got 50" in str(await client.lost)


async def test_what_was_sent_before_close_still_arrives(path: Path) -> None:
    async with linked(f"unix:{path}") as (near, _client, _far, server):
        body = bytes(3_000_000)
        near.send(encode_frame(FrameType.PREDICT, 1, body))
        near.close()
        near.send(encode_frame(FrameType.PREDICT, 2))  # dropped, without a word
        assert (await server.frames.get()).body == body
        assert isinstance(await server.lost, ConnectionLost)
        assert server.frames.empty()


async def test_bytes_that_are_no_frame_end_the_connection_with_the_reason(path: Path) -> None:
    async with linked(f"unix:{path}") as (near, client, _far, server):
        near.send(b"GET / HTTP/1.1\r\n")
        lost = await server.lost
        assert isinstance(lost, ConnectionLost)
        assert isinstance(lost.__cause__, ProtocolError)
        assert (await client.frames.get()).type is FrameType.ERROR
        assert "the peer reported: expected a frame starting with b'CL'" in str(await client.lost)


async def test_an_error_is_the_last_that_is_heard_of_a_peer(path: Path) -> None:
    async with linked(f"unix:{path}") as (near, client, far, _server):
        far.send(encode_frame(FrameType.ERROR, 0, b"no more") * 3)  # and doesn't close
        assert "the peer reported: no more" in str(await client.lost)
        assert near.closing
        assert (await client.frames.get()).type is FrameType.ERROR
        assert client.frames.empty()


async def test_a_protocol_error_raised_by_the_reader_ends_the_connection_too(path: Path) -> None:
    server, client = End(), End()

    def refuse(connection: Connection, frame: Frame) -> None:
        raise ProtocolError("expected nothing, got a frame")

    listener = await listen(f"unix:{path}", on_frame=refuse, on_lost=server.on_lost)
    near = await connect(
        f"unix:{path}", on_frame=client.on_frame, on_lost=client.on_lost, timeout=5
    )
    near.send(encode_frame(FrameType.DRAIN, 0))
    assert "expected nothing, got a frame" in str(await client.lost)
    assert "expected nothing, got a frame" in str(await server.lost)
    listener.close()


async def test_a_reader_that_stops_is_felt_by_the_writer(path: Path) -> None:
    async with linked(f"unix:{path}") as (near, client, far, server):
        assert far.writable
        near.pause_reading()
        far.send(encode_frame(FrameType.ANSWER, 1, bytes(10_000_000)))
        assert not far.writable
        near.resume_reading()
        await server.writable.wait()
        assert far.writable
        assert len((await client.frames.get()).body) == 10_000_000


async def test_dialling_where_nobody_listens_is_a_lost_connection(path: Path) -> None:
    end = End()
    with pytest.raises(ConnectionLost, match=r"cannot connect to unix:.*No such file"):
        await connect(f"unix:{path}", on_frame=end.on_frame, on_lost=end.on_lost, timeout=5)
    assert not end.lost.done()


async def test_dialling_has_a_time_limit(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(1)
        end = End()
        with pytest.raises(ConnectionLost, match=r"cannot connect to unix:.* within 0 s"):
            await connect(f"unix:{path}", on_frame=end.on_frame, on_lost=end.on_lost, timeout=0)
        assert not end.lost.done()


async def test_the_socket_is_open_to_its_owner_only(path: Path) -> None:
    async with linked(f"unix:{path}"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("is_file", [False, True])
async def test_what_is_at_an_address_is_left_alone(path: Path, is_file: bool) -> None:
    end = End()
    with socket.socket(socket.AF_UNIX) as other:
        if is_file:
            path.write_text("precious")
        else:
            other.bind(str(path))
        with pytest.raises(OSError, match="in use"):
            await listen(f"unix:{path}", on_frame=end.on_frame, on_lost=end.on_lost)
    assert path.is_file() if is_file else path.is_socket()
