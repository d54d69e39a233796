"""The environments that hosts keep: listed over REST and in the console, counted."""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from django.test import Client
from django.urls import reverse
from pytest_django.fixtures import Settings

from registry.following.reading import version_spec
from registry.models import Model, ModelVersion
from serving.cluster.host_environments import (
    COUNTS_KEY,
    LOG_KEY,
    own_environments,
    publish,
)
from serving.container.failures.container_errors import EnvironmentFailed
from serving.environments.spec import environment_of
from serving.environments.store import Environments
from tests.console.people import staff
from tests.redis_server import fresh_redis_client
from tests.serving.environments.wheels import make_wheel, needs, offline

API = "/api/v1/environments"
PAGE = "/admin/environments/"


@pytest.fixture(autouse=True)
def _own(db: None, server_redis: redis.Redis, settings: Settings, tmp_path: Path) -> Iterator[None]:
    settings.CLIPPER_ENVIRONMENTS = tmp_path / "environments"
    server_redis.flushall()
    with fresh_redis_client():
        yield


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one environment, which each test copies: to build one takes half a second."""
    folder = tmp_path_factory.mktemp("built")
    make_wheel(folder / "wheels", "toaster", "1.5")
    environments = Environments(folder / "environments", rules=offline(folder))
    environments.prepare(needs("toaster")).release()
    return folder


@pytest.fixture
def digest(server_redis: redis.Redis, tmp_path: Path, built: Path) -> str:
    """Return the digest of an environment that is built and that no version needs."""
    shutil.copytree(built / "environments", tmp_path / "environments", symlinks=True)
    environments = Environments(tmp_path / "environments", rules=offline(built))
    held = environments.prepare(needs("toaster"))
    held.release()
    publish(server_redis, own_environments())
    server_redis.set(LOG_KEY + held.folder.name, environments.log_of(held.folder.name))
    return held.folder.name


@pytest.fixture
def version() -> ModelVersion:
    """Live, and in need of the environment that is built."""
    model = Model.objects.create(name="svm", input_type="doubles")
    version = ModelVersion.objects.create(
        model=model, version="1", runtime="python", requirements="toaster", digest="a" * 64
    )
    Model.objects.update(live_version=version)
    return version


def test_they_are_listed_with_what_they_hold_and_for_whom(
    owner: Client, digest: str, version: ModelVersion
) -> None:
    (row,) = owner.get(f"{API}/").json()
    assert (row["digest"], row["versions"]) == (digest, ["svm:1"])
    assert row["requirements"] == ["toaster"]
    assert "toaster==1.5" in row["packages"]
    (host,) = row["hosts"]
    assert host["error"] == ""
    assert host["bytes"] > 0


def test_what_its_build_said_can_be_read(owner: Client, digest: str) -> None:
    lines = owner.get(f"{API}/{digest}/log").json()["lines"]
    assert "+ toaster==1.5" in [line.strip() for line in lines]
    assert owner.get(f"{API}/nowhere/log").status_code == 404


def test_the_console_lists_them(owner: Client, digest: str, version: ModelVersion) -> None:
    page = owner.get(PAGE).content.decode()
    assert "toaster==1.5" in page
    assert "For svm:1" in page
    assert f"{socket.gethostname()}: " in page


def test_a_failed_build_is_listed_while_a_version_is_there_that_wants_it(
    owner: Client, version: ModelVersion, server_redis: redis.Redis, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentFailed):
        Environments(tmp_path / "environments", rules=offline(tmp_path)).prepare(needs("toaster"))
    publish(server_redis, own_environments())
    (row,) = owner.get(f"{API}/").json()
    assert "could not be built" in row["hosts"][0]["error"]
    Model.objects.update(live_version=None)
    version.delete()
    assert owner.get(f"{API}/").json() == []


def test_a_version_s_page_says_which_it_runs_in(
    owner: Client, digest: str, version: ModelVersion
) -> None:
    assert environment_of(version_spec(version)) is not None
    address = reverse("admin:registry_modelversion_change", args=[version.pk])
    page = owner.get(address).content.decode()
    assert f'href="{PAGE}#{digest[:12]}"' in page
    ModelVersion.objects.update(requirements="")
    assert "the stack&#x27;s own" in owner.get(address).content.decode()


def test_staff_without_the_permission_see_nothing(digest: str) -> None:
    client = staff()
    assert client.get(PAGE).status_code == 403
    assert client.get(f"{API}/").status_code == 403


async def test_they_are_counted_for_prometheus(redis_socket: str, digest: str) -> None:
    from redis.asyncio import Redis

    from serving.cluster.host_environments import read_numbers_async
    from serving.metrics.exposition import exposition

    async with Redis(unix_socket_path=redis_socket) as client:
        await client.hset(COUNTS_KEY, mapping={"builds": 3, "failures": 2, "milliseconds": 4500})
        numbers = await read_numbers_async(client)
    text = exposition([], environments=numbers).decode()
    assert "clipper_environment_builds_total 3.0" in text
    assert "clipper_environment_failures_total 2.0" in text
    assert "clipper_environment_build_seconds_total 4.5" in text
    assert "clipper_environments_kept 1.0" in text
    assert f"clipper_environments_bytes {float(numbers['bytes'])}" in text
