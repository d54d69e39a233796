"""`clipper worker`: what it refuses before, while and after it asks a stack to let it join."""

import json
import os
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from clipper_site.stack.host_joining import (
    MOST_BYTES,
    TOKEN,
    check_settings,
    main,
    stack_at,
    usable,
)
from clipper_site.stack.layout import free_port
from clipper_site.stack.terminal import StackError
from tests.serving.rpc.tcp.certificates import Authority

SECRET = "clp_" + "s" * 43
FOUND = {
    "REDIS_URL": "redis://:pw@127.0.0.1:6379/0",
    "DATABASE_URL": "postgres://u:pw@10.0.0.1/clipper",
    "CLIPPER_CLUSTER_SECRET": "c" * 32,
}


@contextmanager
def stack_that_answers(
    status: int, body: bytes, *, location: str = "", tls: ssl.SSLContext | None = None
) -> Iterator[str]:
    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            if location:
                self.send_header("Location", location)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: Any) -> None:
            """Nobody reads it."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    file = tmp_path / "token"
    file.touch(mode=0o600)
    file.write_text(f"{SECRET}\n")
    return file


def refused(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    """Return the one line that says why, which never has the token in it."""
    assert main([str(each) for each in arguments]) == 1
    out, error = capsys.readouterr()
    assert SECRET not in out + error
    assert error.count("\n") == 1
    return error


def test_a_token_among_the_arguments_is_refused_unseen(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words in (
        ("--token", SECRET),
        (f"--token-file={SECRET}",),
        ("--join", f"http://{SECRET}@h"),
    ):
        assert "revoke that token" in refused(capsys, *words, "--var", tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_file_that_others_may_read_is_refused(
    token_file: Path, capsys: pytest.CaptureFixture[str], mode: int
) -> None:
    token_file.chmod(mode)
    arguments = ("--join", "https://h", "--token-file", token_file, "--var", token_file.parent)
    assert "is open to others" in refused(capsys, *arguments)


def test_another_files_content_goes_nowhere(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    other.touch(mode=0o600)
    other.write_text("a password\r\nX-Header: more")
    with stack_that_answers(200, b"{}") as url:
        arguments = ("--join", url, "--token-file", other, "--var", tmp_path)
        assert "holds no join token" in refused(capsys, *arguments)


def test_without_having_joined_it_says_how(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "give --join URL" in refused(capsys, "--var", tmp_path)


@pytest.mark.parametrize(
    "url", ["h:8000", "ftp://h", "https://u:p@h", "https://h/?a=1", "https://h#x", "https://h h"]
)
def test_what_is_no_url_of_a_stack_is_refused(url: str) -> None:
    with pytest.raises(StackError, match="takes the stack's URL"):
        stack_at(url, insecure=True)


@pytest.mark.parametrize(
    "url", ["http://10.0.0.1:8000", "http://localhost.example.com", "http://h"]
)
def test_plain_http_to_another_host_takes_an_option(url: str) -> None:
    with pytest.raises(StackError, match="isn't encrypted"):
        stack_at(url, insecure=False)
    assert stack_at(url, insecure=True).scheme == "http"


@pytest.mark.parametrize("url", ["https://h", "http://127.0.0.1:8000", "http://[::1]:8000/clipper"])
def test_tls_and_loopback_take_none(url: str) -> None:
    assert stack_at(url, insecure=False).geturl() == url


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (401, b'{"error": "one that is expired: gpu1."}', "refuses: one that is expired: gpu1."),
        (409, b'{"error": "\\u001b[2J wiped"}', r"refuses: \x1b[2J wiped"),
        (500, b"<html>", "answered 500, in no words of Clipper's"),
        (401, b"[1]", "answered 401, in no words of Clipper's"),
        (307, b"{}", "answered 307, in no words of Clipper's"),
        (200, b"[" * 60_000, "in no words of Clipper's"),
        (200, b'"' + b"x" * 10 * MOST_BYTES, "in no words of Clipper's"),
        (200, json.dumps(FOUND | {"REDIS_URL": "unix:///s"}).encode(), "sent no settings"),
        (200, json.dumps(FOUND | {"DATABASE_URL": "sqlite:////f"}).encode(), "sent no settings"),
        (200, json.dumps(FOUND | {"CLIPPER_PIP_URLS": "1\n2"}).encode(), "sent no settings"),
        (200, json.dumps(FOUND | {"CLIPPER_PIP_URLS": 1}).encode(), "sent no settings"),
        (200, b"{}", "sent no settings"),
        (200, b"[]", "sent no settings"),
    ],
)
def test_it_believes_no_answer_that_it_cannot_use(
    token_file: Path, capsys: pytest.CaptureFixture[str], status: int, body: bytes, said: str
) -> None:
    with stack_that_answers(status, body, location="http://127.0.0.1:1/") as url:
        arguments = ("--join", url, "--token-file", token_file, "--var", token_file.parent)
        assert said in refused(capsys, *arguments)
    assert not (token_file.parent / "joined.json").exists()


def test_tls_is_verified_by_an_authority_of_ones_own_too(
    token_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority.new(token_file.parent, name="ca")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(*authority.sign(host="127.0.0.1"))
    with stack_that_answers(409, b'{"error": "not now"}', tls=tls) as url:
        arguments = ("--join", url, "--token-file", token_file, "--var", token_file.parent)
        assert "certificate verify failed" in refused(capsys, *arguments)
        monkeypatch.setenv("CLIPPER_TLS_CA", str(authority.certificate))
        assert "refuses: not now" in refused(capsys, *arguments)


def test_a_stack_that_is_not_there_is_said_so(
    token_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ("--token-file", token_file, "--var", token_file.parent)
    url = f"http://127.0.0.1:{free_port()}"
    assert "can't be asked: [Errno" in refused(capsys, "--join", url, *arguments)


def test_what_the_stack_says_sets_nothing_but_what_a_worker_needs() -> None:
    more = {"LD_PRELOAD": "/x.so", "CLIPPER_VAR": "/etc", "CLIPPER_ARTIFACTS_BACKEND": "os.system"}
    settings = usable(FOUND | more, place=urlsplit("https://stack.example.com:8000"))
    assert not more.keys() & settings.keys()
    assert settings["CLIPPER_ARTIFACTS_URL"] == "https://stack.example.com:8000"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("redis://:pw@127.0.0.1:6379/0", "redis://:pw@stack.example.com:6379/0"),
        ("redis://localhost", "redis://stack.example.com"),
        ("rediss://u:p%40w@[::1]:7000?a=1", "rediss://u:p%40w@stack.example.com:7000?a=1"),
        ("redis://0.0.0.0:1", "redis://stack.example.com:1"),
        ("redis://10.0.0.1:1", "redis://10.0.0.1:1"),
    ],
)
def test_loopback_becomes_the_stack_s_own_host(given: str, found: str) -> None:
    settings = usable(
        FOUND | {"REDIS_URL": given}, place=urlsplit("https://stack.example.com:8000")
    )
    assert settings["REDIS_URL"] == found


def test_servers_that_it_does_not_reach_are_named_without_their_password(
    token_file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    port, var = free_port(), token_file.parent
    found = FOUND | {"REDIS_URL": f"redis://:hidden@127.0.0.1:{port}/0"}
    with stack_that_answers(200, json.dumps(found).encode()) as url:
        monkeypatch.setenv(TOKEN, SECRET)
        said = refused(capsys, "--join", url, "--var", var)
    assert f"REDIS_URL of the stack, 127.0.0.1:{port}/0: " in said
    assert "hidden" not in said
    kept = var / "joined.json"
    assert kept.stat().st_mode & 0o777 == 0o600
    assert SECRET not in kept.read_text()
    with pytest.raises(StackError, match="can't be read") as unread:
        check_settings({"REDIS_URL": "redis://:hid/den@h:6379"}, {})
    assert "hid" not in str(unread.value)


def test_a_stack_with_certificates_wants_them_here_too() -> None:
    with pytest.raises(StackError, match="has CLIPPER_TLS_CA: set it here too"):
        check_settings(FOUND, {"CLIPPER_TLS_CA": "ca.pem"})
    assert TOKEN not in os.environ
