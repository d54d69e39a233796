"""Fixtures of the cluster's tests: a flushed Redis, and one real stack for those that need it."""

import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import pytest
import redis
from django.db import connections
from django.test import override_settings
from pytest_django.plugin import DjangoDbBlocker

from registry.models import Model, ModelVersion
from serving.cluster.control.checks import check_task
from serving.cluster.membership.directory import Directory
from tests.redis_server import fresh_redis_client
from tests.serving.cluster.control.rounds import Rounds, make_version
from tests.serving.cluster.running_stack import Hosts, Stack
from tests.serving.cluster.samples import SEAL


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents and "stack" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.stack)


@pytest.fixture(scope="module", autouse=True)
def _no_parent_is_left() -> Iterator[None]:
    """End the fork server of checks, which other tests would find among children and open files."""
    yield
    check_task.FORK_SERVER.end()


@pytest.fixture
def client(redis_socket: str) -> Iterator[redis.Redis]:
    with redis.Redis(unix_socket_path=redis_socket) as client:
        client.flushall()
        yield client


@pytest.fixture
def directory(client: redis.Redis) -> Directory:
    return Directory(client, seal=SEAL)


@pytest.fixture(scope="module")
def hosts() -> Hosts | None:
    """None: a stack's processes are all on this host. A module may say otherwise."""
    return None


@pytest.fixture(scope="module")
def stack(
    request: pytest.FixtureRequest, hosts: Hosts | None, django_db_blocker: DjangoDbBlocker
) -> Iterator[Stack]:
    """A running stack; this process uses its registry, artifacts and Redis meanwhile."""
    module = request.module
    if hosts or any(hasattr(module, name) for name in ("SETTINGS", "WORKERS", "OWN_STACK")):
        empty = request.getfixturevalue("django_db_setup")
        settings = getattr(module, "SETTINGS", {})
        workers = getattr(module, "WORKERS", ("cpu", "control"))
        with (
            django_db_blocker.unblock(),
            started(empty, workers=workers, settings=settings, hosts=hosts) as stack,
            _registry_at(stack),
        ):
            yield stack
    else:
        stack = request.getfixturevalue("shared_stack")
        with django_db_blocker.unblock(), _registry_at(stack):
            yield stack
            stack.retire(*Model.objects.values_list("name", flat=True))


@pytest.fixture(scope="package")
def shared_stack(django_db_setup: Path) -> Iterator[Stack]:
    with started(django_db_setup) as stack:
        yield stack


@contextmanager
def started(
    empty_database: Path,
    *,
    workers: Sequence[str] = ("cpu", "control"),
    settings: Mapping[str, str] = MappingProxyType({}),
    hosts: Hosts | None = None,
) -> Iterator[Stack]:
    """A stack with nothing in it, gone afterwards with its folder."""
    with tempfile.TemporaryDirectory(prefix="clipper-", dir="/tmp") as folder:
        var, run = Path(folder), Path(folder) / "run"
        run.mkdir()
        shutil.copy(empty_database, var / "clipper.sqlite3")
        stack = Stack(var=var, run=run, settings=settings, hosts=hosts)
        try:
            stack.start(workers=workers)
            yield stack
        finally:
            stack.stop()


@contextmanager
def _registry_at(stack: Stack) -> Iterator[None]:
    """Points this process's database, artifacts and notices at a stack's."""
    own = connections["default"]
    settings = {**own.settings_dict, "NAME": str(stack.var / "clipper.sqlite3")}
    theirs = type(own)(settings, "default")
    with (
        override_settings(
            CLIPPER_VAR=stack.var,
            CLIPPER_RUN_DIR=stack.run,
            CLIPPER_ARTIFACTS=stack.var / "artifacts",
            REDIS_URL=stack.redis_server.url,
        ),
        fresh_redis_client(),
    ):
        connections["default"] = theirs
        try:
            yield
        finally:
            theirs.close()
            connections["default"] = own


@pytest.fixture
def server_info(client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """Return the info of a Redis of a believable age; the one for tests may be younger."""
    info: dict[str, object] = {"uptime_in_seconds": 600}
    monkeypatch.setattr(client, "info", lambda _section: info)
    return info


@pytest.fixture
def rounds(client: redis.Redis, server_info: dict[str, object]) -> Rounds:
    rounds = Rounds(client)
    rounds.employ("h1")
    return rounds


@pytest.fixture
def live() -> ModelVersion:
    version = make_version()
    Model.objects.update(live_version=version)
    return ModelVersion.objects.get(pk=version.pk)
