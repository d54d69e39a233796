"""Over TCP nobody is heard before he has proved himself, and nobody can keep others out."""

import asyncio
import logging
import socket

import pytest

from serving.rpc.connection import Listener, connect
from serving.rpc.errors import (
    AuthenticationFailed,
    ConnectionLost,
    InvalidAddress,
)
from serving.rpc.frames.codec import HEADER, FrameType, encode_frame, encode_predict
from serving.rpc.tcp import streams
from serving.rpc.tcp.credentials import Credentials
from serving.rpc.tcp.handshake import MAX_HANDSHAKE_BODY
from tests.serving.rpc.conftest import CREDENTIALS, HELLO, STRANGERS, End, listen
from tests.serving.rpc.peers import Replica, Stranger, dial, until


async def test_what_follows_hello_at_once_is_not_lost() -> None:
    async with Replica.serving() as replica:
        replica.first_words += encode_frame(FrameType.DRAIN, 0)
        near, end = await dial(replica.port)
        assert (await end.frames.get()).type is FrameType.DRAIN
        near.abort()
        await end.lost


@pytest.mark.parametrize(("credentials", "replica_id"), [(STRANGERS, "r1"), (CREDENTIALS, "r2")])
async def test_a_wrong_secret_or_another_replica_is_refused_with_one_line(
    credentials: Credentials, replica_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with Replica.serving() as replica:
        with pytest.raises(ConnectionLost, match="authentication failed") as caught:
            await dial(replica.port, credentials=credentials, replica=replica_id)
        assert isinstance(caught.value.__cause__, AuthenticationFailed)
        await until(lambda: caplog.records)
        (record,) = caplog.records
        assert record.levelno == logging.WARNING
        assert "connection refused peer=127.0.0.1:" in record.getMessage()
        for secret in (CREDENTIALS.secret, STRANGERS.secret):
            assert secret.decode() not in caplog.text
        assert replica.nobody_was_heard


async def test_a_recorded_handshake_is_refused_the_second_time() -> None:
    async with Replica.serving() as replica:
        recorded: list[bytes] = []

        async def relay(near: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            far, to_replica = await asyncio.open_connection("127.0.0.1", replica.port)
            writer.write(await far.readexactly(HEADER.size + 32))
            recorded.append(await near.readexactly(HEADER.size + 64))
            to_replica.write(recorded[0])
            writer.write(await far.read(4096))
            to_replica.close()
            writer.close()

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        _, end = await dial(server.sockets[0].getsockname()[1])
        await end.lost
        (await replica.admitted.get()).abort()
        await replica.lost.get()

        again = await Stranger.dial(replica.port)
        again.writer.write(recorded[0])
        assert b"authentication failed" in await again.all_it_is_told()
        assert replica.nobody_was_heard
        server.close()
        await server.wait_closed()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (encode_predict(1, [b"[1]"]), b"expected PROOF to authenticate, got PREDICT"),
        (b"GET / HTTP/1.1\r\n\r\n", b"expected a frame starting with"),
        (
            HEADER.pack(b"CL", 1, 7, 0, MAX_HANDSHAKE_BODY + 1),
            b"expected a body of at most 4096 bytes here, got one of 4097",
        ),
    ],
)
async def test_nothing_is_read_before_the_proof(data: bytes, reason: bytes) -> None:
    async with Replica.serving() as replica:
        stranger = await Stranger.dial(replica.port)
        stranger.writer.write(data)
        assert reason in await stranger.all_it_is_told()
        assert replica.nobody_was_heard


async def test_a_silent_peer_is_dropped_after_a_while(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(streams, "HANDSHAKE_S", 0.2)
    async with Replica.serving() as replica:
        silent, dribbling = await Stranger.dial(replica.port), await Stranger.dial(replica.port)
        dribbling.writer.write(b"CL")
        assert await silent.all_it_is_told() == b""
        assert await dribbling.all_it_is_told() == b""
        assert caplog.text.count("did not authenticate within 0.2 s") == 2


async def test_silent_peers_are_bounded_and_keep_nobody_out(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Replica.serving() as replica:
        silent = [await Stranger.dial(replica.port) for _ in range(streams.MAX_STRANGERS + 5)]
        for eldest in silent[:5]:
            assert await eldest.all_it_is_told() == b""
        near, end = await dial(replica.port)
        reason = f"{streams.MAX_STRANGERS} others came before it authenticated"
        await until(lambda: caplog.text.count(reason) == 6)
        for stranger in silent[5:]:
            stranger.writer.close()
        near.abort()
        await end.lost


async def test_a_silent_replica_does_not_keep_a_web_process() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(ConnectionLost, match=r"cannot connect to tcp:.* within 0.1 s"),
    ):
        await dial(silent.getsockname()[1], timeout=0.1)


async def test_a_replica_that_goes_in_the_middle_is_a_lost_connection() -> None:
    async def go(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(encode_frame(FrameType.CHALLENGE, 0, bytes(32)))
        await reader.readexactly(1)
        writer.close()

    server = await asyncio.start_server(go, "127.0.0.1", 0)
    with pytest.raises(ConnectionLost, match="before it was authenticated"):
        await dial(server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()


async def test_closing_the_listener_drops_strangers_and_keeps_peers() -> None:
    async with Replica.serving() as replica:
        port = replica.port
        near, end = await dial(port)
        stranger = await Stranger.dial(port)
        await stranger.reader.readexactly(HEADER.size + 32)
        replica.listener.close()
        assert await stranger.reader.read() == b""
        stranger.writer.close()
        near.send(encode_frame(FrameType.PREDICT, 1))
        await replica.frames.get()
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await dial(port)
        near.abort()
        await end.lost


async def test_tcp_without_a_secret_is_neither_dialled_nor_served() -> None:
    end = End()
    with pytest.raises(InvalidAddress, match="TCP is authenticated"):
        await connect("tcp:127.0.0.1:1", on_frame=end.on_frame, on_lost=end.on_lost, timeout=1)
    with pytest.raises(InvalidAddress, match="TCP is authenticated"):
        await listen("tcp:127.0.0.1:0", on_frame=end.on_frame, on_lost=end.on_lost)


async def test_the_first_free_port_is_taken_and_none_left_is_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        async def listening(ports: range) -> Listener:
            return await listen(
                f"tcp:127.0.0.1:{port}",
                on_frame=lambda *_: None,
                on_lost=lambda *_: None,
                authentication=CREDENTIALS.of(HELLO),
                ports=ports,
            )

        listener = await listening(range(port, port + 20))
        found = listener.sockets[0].getsockname()[1]
        assert port < found < port + 20
        with pytest.raises(OSError, match=rf"in use.*127.0.0.1:{port}-{port}"):
            await listening(range(port, port + 1))
        listener.close()
        await asyncio.sleep(0)
