"""A real Redis for tests: on a Unix socket, in a short folder, killed and restarted at will."""

import contextlib
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import redis
from pytest_django.fixtures import Settings

from clipper_site.stack.redis_server import find_server
from core.redis.redis_client import redis_client

START_S = 20.0


class RedisServer:
    """One server process. `durable` keeps an append-only file, synced before each answer."""

    def __init__(
        self, *, directory: Path, durable: bool = False, options: Sequence[str] = ()
    ) -> None:
        self.socket = str(directory / "redis.sock")
        self.url = f"unix://{self.socket}?db=0"
        self._directory = directory
        self._durable = durable
        self._options = options
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        server = find_server()
        assert server is not None, "no redis-server found"
        kept = ["--appendonly", "yes", "--appendfsync", "always"] if self._durable else []
        ours = ["--port", "0", "--unixsocket", self.socket, "--save", ""]
        self._process = subprocess.Popen(
            [server, *ours, *kept, *self._options],
            cwd=self._directory,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + START_S
        while not self._answers():
            if time.monotonic() > deadline or self._process.poll() is not None:
                self.kill()
                raise RuntimeError("redis-server did not start")
            time.sleep(0.01)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=20)
            self._process = None
        Path(self.socket).unlink(missing_ok=True)

    @contextlib.contextmanager
    def stopped(self) -> Iterator[None]:
        """Keep it from doing anything, with its connections open."""
        assert self._process is not None, "not started"
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError), redis.Redis.from_url(self.url) as client:
            return bool(client.ping())
        return False


@contextlib.contextmanager
def redis_server(*, durable: bool = False, options: Sequence[str] = ()) -> Iterator[RedisServer]:
    """A started server, gone afterwards with its folder."""
    # Unix socket paths are limited to 108 bytes: pytest's own folders may be too deep.
    with tempfile.TemporaryDirectory(prefix="redis-", dir="/tmp") as directory:
        server = RedisServer(directory=Path(directory), durable=durable, options=options)
        server.start()
        try:
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def redis_socket() -> Iterator[str]:
    """The socket's path of a server that all tests share; each flushes it for itself."""
    with redis_server() as server:
        yield server.socket


@contextlib.contextmanager
def fresh_redis_client() -> Iterator[redis.Redis]:
    """This process's client, made inside by the settings of now, and closed and forgotten after."""
    redis_client.cache_clear()
    try:
        yield redis_client()
    finally:
        redis_client().close()
        redis_client.cache_clear()


@pytest.fixture
def server_redis(redis_socket: str, settings: Settings) -> Iterator[redis.Redis]:
    """The Redis that this process's own client asks, flushed: the shared one."""
    settings.REDIS_URL = f"unix://{redis_socket}?db=0"
    with fresh_redis_client() as client:
        client.flushall()
        yield client
