"""TLS, where it is set up: certificates of the cluster's own authority and nobody else's."""

from pathlib import Path

import pytest

from serving.rpc.errors import ConnectionLost
from serving.rpc.frames.codec import FrameType, encode_frame
from serving.rpc.tcp import streams
from serving.rpc.tcp.credentials import Credentials, replica_tls, web_tls
from tests.serving.rpc.conftest import CREDENTIALS, STRANGERS
from tests.serving.rpc.peers import Replica, dial
from tests.serving.rpc.tcp.certificates import Authority


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("ca"), name="ours")


@pytest.fixture(scope="module")
def stranger_authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("ca"), name="theirs")


def replica_side(authority: Authority, *, host: str = "127.0.0.1") -> Credentials:
    certificate, key = authority.sign(host=host)
    return Credentials(secret=CREDENTIALS.secret, tls=replica_tls(certificate=certificate, key=key))


def web_side(certificate: Path, *, secret: bytes = CREDENTIALS.secret) -> Credentials:
    return Credentials(secret=secret, tls=web_tls(authority=certificate))


async def test_frames_travel_within_tls(authority: Authority) -> None:
    async with Replica.serving(replica_side(authority)) as replica:
        near, end = await dial(replica.port, credentials=web_side(authority.certificate))
        far = await replica.admitted.get()
        body = bytes(3_000_000)
        near.send(encode_frame(FrameType.PREDICT, 1, body))
        assert (await replica.frames.get()).body == body
        far.send(encode_frame(FrameType.ANSWER, 1, body))
        assert (await end.frames.get()).body == body
        near.abort()
        await end.lost
        await replica.lost.get()


async def test_a_certificate_of_another_authority_is_refused(
    authority: Authority, stranger_authority: Authority
) -> None:
    async with Replica.serving(replica_side(stranger_authority)) as replica:
        with pytest.raises(ConnectionLost, match="certificate verify failed"):
            await dial(replica.port, credentials=web_side(authority.certificate))
        assert replica.nobody_was_heard


async def test_a_certificate_of_another_host_is_refused(authority: Authority) -> None:
    async with Replica.serving(replica_side(authority, host="10.0.0.7")) as replica:
        with pytest.raises(ConnectionLost, match=r"certificate is not valid for '127.0.0.1'"):
            await dial(replica.port, credentials=web_side(authority.certificate))


async def test_tls_does_not_replace_the_secret(authority: Authority) -> None:
    async with Replica.serving(replica_side(authority)) as replica:
        web = web_side(authority.certificate, secret=STRANGERS.secret)
        with pytest.raises(ConnectionLost, match="authentication failed"):
            await dial(replica.port, credentials=web)
        assert replica.nobody_was_heard


async def test_plain_and_tls_do_not_mix(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Replica.serving() as plain:
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await dial(plain.port, credentials=web_side(authority.certificate))
    monkeypatch.setattr(streams, "HANDSHAKE_S", 0.2)
    async with Replica.serving(replica_side(authority)) as encrypted:
        with pytest.raises(ConnectionLost, match="cannot connect"):
            await dial(encrypted.port)
        assert encrypted.nobody_was_heard


def test_an_encrypted_key_is_refused_instead_of_asked_for(
    authority: Authority, tmp_path: Path
) -> None:
    certificate, key = authority.sign(host="127.0.0.1")
    locked = tmp_path / "locked.key"
    Authority.lock(key, into=locked)
    with pytest.raises(OSError):
        replica_tls(certificate=certificate, key=locked)
