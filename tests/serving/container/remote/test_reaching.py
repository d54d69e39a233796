"""Whom a remote model's replica talks to: the address that was checked, and whoever proves it."""

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest

from serving.container.remote import client
from tests.serving.container.remote.asking import outputs, predictor, reason
from tests.serving.container.remote.stand_in import Asked, Said, StandIn, as_json, standing_in, sums
from tests.serving.rpc.tcp.certificates import Authority

SECRET = "s3cr3t-of-the-model"


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_not_followed(status: int) -> None:
    target = "http://169.254.169.254/latest/meta-data/"
    with (
        standing_in(lambda _: as_json({}, status=status, Location=target)) as server,
        predictor(server.url(), secret=SECRET) as asked,
    ):
        assert reason(asked) == (
            f"127.0.0.1:{server.port} answered {status}: a redirect, which isn't followed"
        )
        assert len(server.asked) == 1


def leading_to(monkeypatch: pytest.MonkeyPatch, *turns: str) -> None:
    """Names lead to one address after the other: whoever has the DNS changes its mind."""
    left = list(turns)

    def look_up(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        address = left.pop(0) if len(left) > 1 else left[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_a_name_that_leads_inside_once_it_was_checked_is_refused(
    monkeypatch: pytest.MonkeyPatch, server: StandIn
) -> None:
    leading_to(monkeypatch, "169.254.169.254", "127.0.0.1")
    url = f"http://model.example.com:{server.port}/"
    with predictor(url, hosts="model.example.com") as asked:
        for address in ("169.254.169.254", "127.0.0.1"):
            assert reason(asked) == (
                f"model.example.com:{server.port} leads to {address}, and is no public address: "
                "it has to be in CLIPPER_REMOTE_HOSTS as an address or network"
            )
    assert server.asked == []


def test_it_connects_to_the_very_address_that_was_looked_at(
    monkeypatch: pytest.MonkeyPatch, server: StandIn
) -> None:
    leading_to(monkeypatch, "127.0.0.1", "10.255.255.1")
    url = f"http://model.example.com:{server.port}/"
    with predictor(url, hosts=f"127.0.0.1:{server.port}") as asked:
        assert outputs(asked, [[1, 2]]) == [3]
    assert server.asked[0].headers["host"] == f"model.example.com:{server.port}"


@contextmanager
def answering_nobody(port: int) -> Iterator[str]:
    """An address where connections to this port get no answer: as many wait as may."""
    with socket.socket() as listening, ExitStack() as waiting:
        listening.bind(("127.0.0.2", port))
        listening.listen(0)
        for _ in range(3):
            client = waiting.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(("127.0.0.2", port))
        yield "127.0.0.2"


def test_an_address_that_answers_nobody_does_not_take_the_time_of_the_next(
    monkeypatch: pytest.MonkeyPatch, server: StandIn
) -> None:
    with answering_nobody(server.port) as silent:
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))
            for address in (silent, "127.0.0.1")
        ]
        leading_to(monkeypatch, "")
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        url = f"http://model.example.com:{server.port}/"
        with predictor(url, hosts="127.0.0.0/8", timeout_ms=15_000) as asked:
            assert outputs(asked, [[1, 2]]) == [3]


def test_a_secret_goes_to_public_addresses_over_https_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leading_to(monkeypatch, "8.8.8.8")
    with predictor("http://model.example.com/", hosts="*", secret=SECRET) as asked:
        assert "a secret goes there over https alone" in reason(asked)


@pytest.mark.parametrize("header", ["", "X-Api-Key"])
def test_the_secret_is_in_its_header_and_in_no_word_of_ours(
    header: str, caplog: pytest.LogCaptureFixture
) -> None:
    def echo(asked: Asked) -> Said:
        return as_json({"error": f"you sent {dict(asked.headers)}"}, status=401)

    caplog.set_level("DEBUG")
    with (
        standing_in(echo) as server,
        predictor(server.url(), secret=SECRET, secret_header=header) as asked,
    ):
        said = reason(asked)
        told = repr(asked.failures.take()) + caplog.text + said
        sent = server.asked[0].headers
    assert "answered 401: you sent" in said
    assert client.MASK in said
    assert SECRET not in told
    assert sent["x-api-key" if header else "authorization"] == (
        SECRET if header else f"Bearer {SECRET}"
    )


@pytest.mark.parametrize("secret", [SECRET, 'name"with\\odd/signs<7>'])
def test_the_secret_is_in_no_output(secret: str) -> None:
    def echo(asked: Asked) -> Said:
        # As JSON may be written: everything escaped.
        text = "".join(f"\\u{ord(c):04x}" for c in asked.headers["authorization"])
        return Said(body=b'{"predictions":[{"%s":["a\\nname",7,"%s"]}]}' % ((text.encode(),) * 2))

    with standing_in(echo) as server, predictor(server.url(), secret=secret) as asked:
        masked = f"Bearer {client.MASK}"
        assert outputs(asked, [[1, 2]]) == [{masked: ["a\nname", 7, masked]}]


@pytest.mark.parametrize("before", range(230, 250, 4))
def test_no_part_of_the_secret_is_in_a_message_that_is_cut_off(before: int) -> None:
    def echo(asked: Asked) -> Said:
        said = "x" * before + asked.headers["authorization"] + "x" * 1000
        return as_json({"error": said}, status=400)

    with standing_in(echo) as server, predictor(server.url(), secret=SECRET) as asked:
        assert SECRET[:3] not in reason(asked)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.new(tmp_path_factory.mktemp("tls"), name="ours")


def server_tls(authority: Authority, *, host: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*authority.sign(host=host))
    return context


@pytest.mark.parametrize(
    ("host", "trusted", "said"),
    [
        ("127.0.0.1", True, ""),
        ("127.0.0.1", False, "its certificate isn't trusted"),
        ("127.0.0.2", True, "its certificate isn't trusted: IP address mismatch"),
    ],
)
def test_a_certificate_is_of_a_trusted_authority_and_of_this_host(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, host: str, trusted: bool, said: str
) -> None:
    if trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    with (
        standing_in(sums, tls=server_tls(authority, host=host)) as server,
        predictor(server.url(scheme="https"), secret=SECRET) as asked,
    ):
        if said:
            assert said in reason(asked)
            assert server.asked == []
        else:
            assert outputs(asked, [[1, 2], [3, 4]]) == [3, 7]


def test_a_server_that_speaks_no_tls_is_told_apart(server: StandIn) -> None:
    with predictor(server.url(scheme="https")) as asked:
        assert f"cannot connect to 127.0.0.1:{server.port}: " in reason(asked)


def test_another_secret_goes_along_from_the_next_request_on() -> None:
    def echo(asked: Asked) -> Said:
        return as_json({"error": f"you sent {asked.headers['authorization']}"}, status=401)

    with standing_in(echo) as server, predictor(server.url(), secret=SECRET) as asked:
        assert client.MASK in reason(asked)
        asked.take_up("another-secret")
        said = reason(asked)
        assert (client.MASK in said, "another" in said) == (True, False)
        sent = [request.headers["authorization"] for request in server.asked]
        assert sent == [f"Bearer {SECRET}", "Bearer another-secret"]
        asked.take_up("")
        outputs(asked, [[1, 2]])
        assert "authorization" not in server.asked[-1].headers


def test_a_connection_that_was_opened_without_a_secret_carries_none(server: StandIn) -> None:
    # Whether a secret may be sent somewhere is looked at when a connection is opened.
    with predictor(server.url()) as asked:
        assert outputs(asked, [[1, 2]]) == [3]
        asked.take_up(SECRET)
        assert outputs(asked, [[1, 2]]) == [3]
    assert server.connections == 2
