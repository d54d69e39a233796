"""A web process believes a replica's HELLO as far as the directory says the same, and its death."""

import asyncio

import pytest

from serving.cluster.membership.records import ReplicaState
from serving.engine.outcome import Status
from serving.testing import VERSION
from serving.web import links
from tests.serving.cluster.samples import a_record
from tests.serving.container.server.test_server import LOOPBACK, Echo, serving
from tests.serving.web.linked import SERVED, Linked

CREDENTIALS = LOOPBACK.credentials


@pytest.mark.parametrize(
    "listed",
    [{"version_id": 2}, {"generation": 7}, {"model": "tree"}, {"version": "2"}],
    ids=["version id", "generation", "model", "version"],
)
async def test_a_replica_that_serves_what_the_directory_doesn_t_list_is_refused(
    listed: dict[str, object],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(links, "REFUSED_PAUSE_S", 0.0)
    address = f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"
    async with (
        serving(Echo(), address=address) as server,
        Linked.to({}, credentials=CREDENTIALS) as web,
    ):
        web.links.sync([a_record("r1", address=server.address, **(SERVED | listed))])
        await web.ended("r1")

        assert not web.engine.connected(VERSION.id)
        (view,) = web.links.views().values()
        assert view.reason.startswith("handshake failed: expected ")
        assert "got svm:1 (id 1, generation 1)" in view.reason


async def test_a_replica_that_is_said_to_be_dead_is_asked_nothing_more(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    address = f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"
    async with (
        serving(Echo(), address=address) as server,
        Linked.to({"r1": address}, credentials=CREDENTIALS) as web,
    ):
        await web.connected(VERSION)
        assert await web.ask(VERSION, b"1") == [(Status.OK, b"1")]

        web.sync({"r1": server.address}, state=ReplicaState.FAILED)
        await web.ended("r1")

        assert not web.engine.connected(VERSION.id)


async def test_one_that_is_listed_no_more_keeps_its_link(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    address = f"unix:{tmp_path_factory.mktemp('s') / 'r.sock'}"
    async with (
        serving(Echo(), address=address),
        Linked.to({"r1": address}, credentials=CREDENTIALS) as web,
    ):
        await web.connected(VERSION)
        web.sync({})
        await asyncio.sleep(0)
        assert await web.ask(VERSION, b"1") == [(Status.OK, b"1")]
