"""What the cluster's tests share: a flushed Redis, and one real stack for those that need it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.core.management import call_command
from django.db import connections
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from registry.redis_client import redis_client
from serving.cluster.directory import Directory
from tests.serving.cluster.stack import Stack


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        yield client


@pytest.fixture
def directory(client: redis.Redis) -> Directory:
    return Directory(client)


@pytest.fixture(scope="module")
def stack(django_db_blocker: DjangoDbBlocker) -> Iterator[Stack]:
    """A running stack; this process uses its registry, artifacts and Redis meanwhile."""
    with (
        tempfile.TemporaryDirectory(prefix="clipper-", dir="/tmp") as folder,
        django_db_blocker.unblock(),
    ):
        var, run = Path(folder), Path(folder) / "run"
        run.mkdir()
        stack = Stack(var=var, run=run)
        with _registry_at(stack):
            call_command("migrate", verbosity=0, skip_checks=True)
            stack.start()
            try:
                yield stack
            finally:
                stack.stop()


class _registry_at:  # noqa: N801  # reads as the function it could be
    """Points this process's database, artifacts and notices at a stack's."""

    def __init__(self, stack: Stack) -> None:
        self._own = connections["default"]
        self._theirs = type(self._own)(
            {**self._own.settings_dict, "NAME": str(stack.var / "clipper.sqlite3")}, "default"
        )
        self._settings = override_settings(
            CLIPPER_VAR=stack.var,
            CLIPPER_RUN_DIR=stack.run,
            CLIPPER_ARTIFACTS=stack.var / "artifacts",
            REDIS_URL=stack.redis_server.url,
        )

    def __enter__(self) -> None:
        connections["default"] = self._theirs
        self._settings.enable()
        self._forget_client()

    def __exit__(self, *_: object) -> None:
        self._theirs.close()
        connections["default"] = self._own
        self._settings.disable()
        self._forget_client()

    def _forget_client(self) -> None:
        redis_client.cache_clear()
