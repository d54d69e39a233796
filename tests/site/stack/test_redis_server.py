"""The private Redis: a real server with the stack's configuration."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from clipper_site.stack import redis_server
from clipper_site.stack.layout import Layout, layout_of, make_folders, remove_run_dir
from clipper_site.stack.terminal import StackError

EXPECTED_SETTINGS = {
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
    "port": "0",
    "appendonly": "yes",
    "maxmemory": str(100 << 20),
}


@pytest.fixture
def layout(tmp_path: Path) -> Iterator[Layout]:
    layout = layout_of(tmp_path / "var", port=1)
    make_folders(layout)
    redis_server.write_config(layout, max_bytes=100 << 20)
    yield layout
    remove_run_dir(layout)


@contextmanager
def running(layout: Layout, *, url: str = "") -> Iterator[redis.Redis]:
    """A server that ends by `kill -9`, as a crash would end it."""
    server = subprocess.Popen(
        [redis_server.server_for(layout), layout.redis_config], stdout=subprocess.DEVNULL
    )
    client = redis.Redis.from_url(url or redis_server.url(layout), decode_responses=True)
    try:
        deadline = time.monotonic() + 20
        while not answers(client):
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        yield client
    finally:
        client.close()
        server.kill()
        server.wait()


def answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False


def test_what_was_acknowledged_survives_kill_9(layout: Layout) -> None:
    with running(layout) as client:
        client.xadd("feedback", {"label": "3"})

    with running(layout) as client:
        assert [fields for _, fields in client.xrange("feedback") or ()] == [{"label": "3"}]


def test_it_syncs_each_write_forgets_nothing_and_opens_no_port(layout: Layout) -> None:
    with running(layout) as client:
        settings = {name: client.config_get(name)[name] for name in EXPECTED_SETTINGS}

    assert settings == EXPECTED_SETTINGS


def test_nobody_gets_in_without_the_password_which_is_kept(layout: Layout) -> None:
    password = layout.redis_password.read_text()
    with running(layout) as client:
        client.set("kept", "1")
        assert layout.redis_socket.stat().st_mode & 0o077 == 0
        for url in (f"unix://{layout.redis_socket}", f"unix://:guessed@{layout.redis_socket}"):
            with (
                redis.Redis.from_url(url) as stranger,
                pytest.raises(redis.AuthenticationError),
            ):
                stranger.get("kept")
    assert layout.redis_password.stat().st_mode & 0o077 == 0
    assert layout.redis_config.stat().st_mode & 0o077 == 0

    redis_server.write_config(layout, max_bytes=100 << 20)
    assert layout.redis_password.read_text() == password


def test_the_server_on_path_comes_first_and_an_older_one_never_hides_newer_files(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = tmp_path / "redis-server"
    server.write_text("#!/bin/sh\necho 'Redis server v=6.2.14 sha=0 bits=64'\n")
    server.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert redis_server.server_for(layout) == server
    (layout.redis_data / "appendonlydir").mkdir()
    with pytest.raises(StackError, match="written by Redis 7 or newer"):
        redis_server.server_for(layout)


def test_its_memory_has_a_limit_that_can_be_set() -> None:
    assert redis_server.max_bytes_of({}) >= redis_server.LEAST_BYTES
    assert redis_server.max_bytes_of({"CLIPPER_REDIS_MAX_BYTES": "100000000"}) == 100_000_000


@pytest.mark.parametrize("text", ["1", "1GB", "-1", "1e9"])
def test_a_limit_that_would_not_do_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="CLIPPER_REDIS_MAX_BYTES"):
        redis_server.max_bytes_of({"CLIPPER_REDIS_MAX_BYTES": text})
