"""The container in JavaScript keeps to the protocol, on Unix sockets and on authenticated TCP."""

import asyncio
import signal
import stat
from pathlib import Path

import pytest

from serving.engine.outcome import Status
from serving.rpc.errors import AuthenticationFailed, ConnectionLost
from serving.rpc.frames.codec import (
    HEADER,
    MAX_BODY,
    AnswerStatus,
    FrameType,
    decode_answers,
    encode_frame,
    encode_predict,
)
from serving.rpc.tcp.credentials import Credentials, web_tls
from serving.testing import VERSION
from tests.examples.example import HELLO, LIMIT_S, SECRET, running
from tests.serving.container.server.test_server import Web
from tests.serving.rpc.tcp.certificates import Authority
from tests.serving.web.linked import Linked

CREDENTIALS = Credentials(secret=SECRET.encode())
STRANGERS = Credentials(secret=b"the secret of quite another cluster, not of this one")
SMALL, LARGE = (AnswerStatus.OK, b'"small"'), (AnswerStatus.OK, b'"large"')


async def dial(address: str, *, credentials: Credentials = CREDENTIALS) -> Web:
    return await Web.dial(address, hello=HELLO, credentials=credentials)


@pytest.fixture(params=["unix", "tcp"])
def address(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    if request.param == "tcp":
        return "tcp:127.0.0.1:0"
    return f"unix:{tmp_path_factory.mktemp('s') / 'c.sock'}"


async def test_it_answers_each_input_of_a_batch_by_itself(address: str) -> None:
    async with running(address) as (there, _):
        web = await dial(there)
        answers = await web.ask(b"[1, 2.5]", b"[-1, -2]", b"[1]", b'["a", 1]', b"{", b"null")
        assert answers[:3] == [
            LARGE,
            SMALL,
            (AnswerStatus.INVALID_INPUT, b"expected 2 numbers, got 1"),
        ]
        assert [answer.status for answer in answers[3:]] == [AnswerStatus.INVALID_INPUT] * 3
        assert await web.ask() == []
        web.connection.close()


async def test_it_answers_many_batches_and_large_ones_under_their_own_ids(address: str) -> None:
    async with running(address) as (there, _):
        web = await dial(there)
        batch = [b"[1, %s2]" % (b" " * 6000)] * 300
        web.connection.send(b"".join(encode_predict(i, batch) for i in range(5)))
        for i in range(5):
            frame = await web.next(FrameType.ANSWER)
            answers, compute_us = decode_answers(frame.body)
            assert (frame.request_id, answers) == (i, [LARGE] * 300)
            assert 0 < compute_us < 10_000_000
        web.connection.close()


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "expected a frame"),
        (HEADER.pack(b"CL", 2, 2, 0, 0), "expected version 1, got 2"),
        (HEADER.pack(b"CL", 1, 2, 0, MAX_BODY + 1), "expected a body of at most"),
        (encode_frame(FrameType.PREDICT, 1, b"\xff\xff\xff\xff"), "expected a whole PREDICT body"),
        (encode_predict(1, [b"[1]"])[:-3] + b"\xff\xff\xff", ""),
        (encode_frame(FrameType.ANSWER, 1), "expected a PREDICT frame, got type 3"),
    ],
)
async def test_a_bad_frame_ends_its_connection_only(address: str, data: bytes, reason: str) -> None:
    async with running(address) as (there, _):
        good, bad = await dial(there), await dial(there)
        bad.connection.send(data)
        if reason:
            assert reason in (await bad.next(FrameType.ERROR)).body.decode()
            assert reason in str(await bad.ended())
        assert await good.ask(b"[1, 1]") == [LARGE]
        good.connection.close()
        bad.connection.close()


async def test_it_drains_on_sigterm(address: str) -> None:
    async with running(address) as (there, process):
        web = await dial(there)
        process.send_signal(signal.SIGTERM)
        await web.next(FrameType.DRAIN)
        assert await web.ask(b"[1, 1]") == [LARGE]
        late = await dial(there)
        await late.next(FrameType.DRAIN)
        late.connection.close()
        web.connection.close()
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0


async def test_its_unix_socket_is_its_owners_alone_and_goes_with_it(tmp_path: Path) -> None:
    path = tmp_path / "c.sock"
    async with running(f"unix:{path}") as (_, process):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), LIMIT_S) == 0
        assert not path.exists()


@pytest.mark.parametrize(("credentials", "replica"), [(STRANGERS, "r1"), (CREDENTIALS, "another")])
async def test_over_tcp_it_refuses_strangers(credentials: Credentials, replica: str) -> None:
    async with running("tcp:127.0.0.1:0") as (there, _):
        with pytest.raises(ConnectionLost, match="authentication failed") as caught:
            await Web.dial(there, credentials=credentials, replica=replica)
        assert isinstance(caught.value.__cause__, AuthenticationFailed)
        web = await dial(there)
        assert await web.ask(b"[1, 1]") == [LARGE]
        web.connection.close()


async def test_over_tcp_it_reads_nothing_before_the_proof() -> None:
    async with running("tcp:127.0.0.1:0") as (there, _):
        _, host, port = there.split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(encode_predict(1, [b"[1, 1]"]))
        told = await asyncio.wait_for(reader.read(), LIMIT_S)
        assert told[HEADER.size + 32 :] == encode_frame(FrameType.ERROR, 0, b"expected a PROOF")
        writer.close()


async def test_it_speaks_tls(tmp_path: Path) -> None:
    authority = Authority.new(tmp_path, name="ours")
    certificate, key = authority.sign(host="127.0.0.1")
    environment = {"CLIPPER_TLS_CERT": str(certificate), "CLIPPER_TLS_KEY": str(key)}
    tls = web_tls(authority=authority.certificate)
    async with running("tcp:127.0.0.1:0", environment=environment) as (there, _):
        web = await dial(there, credentials=Credentials(secret=SECRET.encode(), tls=tls))
        assert await web.ask(b"[1, 1]") == [LARGE]
        web.connection.close()
        assert await web.ended() is None


async def test_an_engine_asks_it_as_any_replica(address: str) -> None:
    async with (
        running(address) as (there, _),
        Linked.to({HELLO.replica: there}, credentials=CREDENTIALS, hello=HELLO) as web,
    ):
        await web.connected(VERSION)
        outcomes = await web.ask(VERSION, b"[1, 1]", b"[-1, -1]", b"[2, 2]", b"[3]")
        assert outcomes[:3] == [LARGE, SMALL, LARGE]
        assert outcomes[3].status == Status.INVALID_INPUT
