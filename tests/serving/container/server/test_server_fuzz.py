"""A real replica that is thrown at with bytes stays up, and its other peers notice nothing."""

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest
import uvloop
from hypothesis import HealthCheck, given, settings

from serving.container.server.listener import ContainerServer
from serving.rpc.address import UnixAddress, parse_address
from serving.rpc.frames.codec import AnswerStatus
from tests.serving.container.server.test_server import HELLO, LIMIT, LOOPBACK, Echo, Web
from tests.serving.rpc.frames.mutations import chunks


@pytest.fixture(scope="module", params=["unix", "tcp"])
def target(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[asyncio.Runner, str, Web]]:
    """A loop with a replica, its address, and one well-behaved peer."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        address = f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"
        at = LOOPBACK if request.param == "tcp" else address
        server = ContainerServer(Echo(), hello=HELLO, at=at)
        runner.run(server.start())
        peer = runner.run(Web.dial(server.address))
        yield runner, server.address, peer
        peer.connection.close()
        server.drain()
        runner.run(server.wait_closed(LIMIT))
        runner.run(asyncio.sleep(0.05))  # lets what it cut off end


async def throw(arriving: list[bytes], *, at: str) -> None:
    """Send these on a connection of their own, and read whatever the replica says to that."""
    target = parse_address(at)
    async with asyncio.timeout(LIMIT):
        if isinstance(target, UnixAddress):
            reader, writer = await asyncio.open_unix_connection(target.path)
        else:
            reader, writer = await asyncio.open_connection(target.host, target.port)
        with suppress(OSError):  # it has hung up already
            for chunk in arriving:
                writer.write(chunk)
                await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.close()


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(arriving=chunks())
def test_bytes_from_one_peer_cost_the_others_nothing(
    target: tuple[asyncio.Runner, str, Web], arriving: list[bytes]
) -> None:
    runner, address, peer = target
    runner.run(throw(arriving, at=address))
    assert runner.run(peer.ask(b"1")) == [(AnswerStatus.OK, b"1")]
