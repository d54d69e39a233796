"""Both ends of a connection, recording what happens to them."""

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import settings

from serving.rpc.connection import Connection, Listener, accept
from serving.rpc.errors import ConnectionLost
from serving.rpc.frames.codec import Frame
from serving.rpc.frames.hello import Hello
from serving.rpc.tcp.credentials import Authentication, Credentials

# For the long run, which tests/serving/rpc/frames/test_fuzz.py says how to start.
settings.register_profile("fuzz", max_examples=50_000, deadline=None, print_blob=True)

HELLO = Hello(
    replica="r1", model="svm", version="2", version_id=7, generation=3, input_type="doubles"
)
CREDENTIALS = Credentials(secret=b"the secret of this cluster, and of no other")
STRANGERS = Credentials(secret=b"the secret of quite another cluster, not of this one")


class End:
    """One end: the frames it got, its connection, and how it was lost."""

    def __init__(self) -> None:
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.connected: asyncio.Future[Connection] = asyncio.get_running_loop().create_future()
        self.lost: asyncio.Future[ConnectionLost | None] = (
            asyncio.get_running_loop().create_future()
        )
        self.writable = asyncio.Event()
        self.first_words = b""

    def on_connect(self, connection: Connection) -> None:
        connection.send(self.first_words)
        self.connected.set_result(connection)

    def on_frame(self, connection: Connection, frame: Frame) -> None:
        self.frames.put_nowait(frame)

    def on_lost(self, connection: Connection, error: ConnectionLost | None) -> None:
        self.lost.set_result(error)  # a second call would raise

    def on_writable(self, connection: Connection) -> None:
        self.writable.set()


async def listen(
    address: str,
    *,
    authentication: Authentication | None = None,
    ports: Sequence[int] | None = None,
    **events: Any,
) -> Listener:
    """Make a Connection, which calls these, for each stream at an address."""
    return await accept(
        address,
        new_protocol=lambda: Connection(**events),
        authentication=authentication,
        ports=ports,
    )


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("s") / "r.sock"


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run every test of a connection on both event loops."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
