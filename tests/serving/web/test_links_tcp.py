"""Web processes find replicas over TCP, and keep to those that know the secret."""

import logging
import socket

import pytest

from serving.container.server.listener import ContainerServer, TcpListen
from serving.engine.outcome import Status
from serving.rpc.tcp.credentials import Credentials, replica_tls, web_tls
from serving.testing import VERSION
from serving.web import links
from tests.serving.container.server.test_server import HELLO, LOOPBACK, Echo, serving
from tests.serving.rpc.tcp.certificates import Authority
from tests.serving.web.linked import Linked

CREDENTIALS = LOOPBACK.credentials
STRANGERS = Credentials(secret=b"the secret of quite another cluster, not of this one")


async def test_queries_are_answered_over_tcp() -> None:
    async with (
        serving(Echo(), listen=LOOPBACK) as server,
        Linked.to({"r1": server.address}, credentials=CREDENTIALS) as web,
    ):
        await web.connected(VERSION)
        inputs = [b"%d" % i for i in range(500)]
        assert await web.ask(VERSION, *inputs) == [(Status.OK, raw) for raw in inputs]


async def test_queries_are_answered_over_tls(tmp_path_factory: pytest.TempPathFactory) -> None:
    authority = Authority.new(tmp_path_factory.mktemp("ca"), name="ours")
    certificate, key = authority.sign(host="127.0.0.1")
    secret = CREDENTIALS.secret
    reach = TcpListen(
        advertise_host="127.0.0.1",
        bind_host="127.0.0.1",
        credentials=Credentials(secret=secret, tls=replica_tls(certificate=certificate, key=key)),
    )
    theirs = Credentials(secret=secret, tls=web_tls(authority=authority.certificate))
    async with (
        serving(Echo(), listen=reach) as server,
        Linked.to({"r1": server.address}, credentials=theirs) as web,
    ):
        await web.connected(VERSION)
        assert await web.ask(VERSION, b"1") == [(Status.OK, b"1")]


async def test_a_replica_with_another_secret_is_not_asked_and_dialled_again_later(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(links, "REFUSED_PAUSE_S", 0.05)
    async with (
        serving(Echo(), listen=LOOPBACK) as server,
        Linked.to({"r1": server.address}, credentials=STRANGERS) as web,
    ):
        await web.ended("r1")
        assert not web.engine.connected(VERSION.id)
        (said,) = [one for one in caplog.records if one.name == "serving.web.links"]
        assert said.levelno == logging.WARNING
        assert "replica refused id=r1 reason=" in said.getMessage()
        web.sync({"r1": server.address})
        assert web.links.linked == {"r1"}
        assert not web.links.views()["r1"].proven


@pytest.mark.parametrize("scheme", ["unix", "tcp"])
async def test_another_replica_at_a_known_address_is_refused(
    scheme: str,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Its predecessor is gone, and its port or socket was free again."""
    monkeypatch.setattr(links, "REFUSED_PAUSE_S", 0.0)
    path = tmp_path_factory.mktemp("s") / "r.sock"
    reach = LOOPBACK if scheme == "tcp" else None
    async with (
        serving(Echo(), address=f"unix:{path}", listen=reach) as server,
        Linked.to({"r1": server.address}, credentials=CREDENTIALS) as web,
    ):
        await web.connected(VERSION)
        web.sync({"gone": server.address})
        await web.ended("gone")
        assert await web.ask(VERSION, b"1") == [(Status.OK, b"1")]
    assert server.statistics.batches == 1
    assert ("got r1" if scheme == "unix" else "authentication failed") in caplog.text


async def test_the_advertised_host_is_told_and_the_other_one_bound() -> None:
    reach = TcpListen(advertise_host="localhost", bind_host="127.0.0.1", credentials=CREDENTIALS)
    server = ContainerServer(Echo(), hello=HELLO, at=reach)
    await server.start()
    scheme, host, port = server.address.split(":")
    assert (scheme, host) == ("tcp", "localhost")
    socket.create_connection(("127.0.0.1", int(port)), timeout=5).close()
    server.drain()
    assert await server.wait_closed(1)
