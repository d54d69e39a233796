"""A large artifact goes on where the link broke, also for another client, and is sent once."""

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from clipper_client import Client, ClipperError
from clipper_client.operations import releases
from clipper_client.transport import remote_server
from tests.integration.stack import Stack

PIECE = 16 << 10
SIZE = 20 * PIECE
CODE = b"class Predictor:\n    def __init__(self, path): pass\n"
CODE += b"    def pred_batch(self, inputs): return [5] * len(inputs)\n"


class FlakyLink:
    """Passes on what connections bring, and cuts each of them after so many bytes of it."""

    def __init__(self, url: str, *, each: int) -> None:
        self._to = (urlsplit(url).hostname, urlsplit(url).port)
        self.each = each
        self.passed = self.cuts = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def close(self) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._server.accept()
                threading.Thread(target=self._pass_on, args=(caller,), daemon=True).start()

    def _pass_on(self, caller: socket.socket) -> None:
        with caller, socket.create_connection(self._to) as there, suppress(OSError):
            threading.Thread(target=self._back, args=(there, caller), daemon=True).start()
            left = self.each
            while left > 0 and (chunk := caller.recv(min(4096, left))):
                there.sendall(chunk)
                left -= len(chunk)
                self.passed += len(chunk)
            self.cuts += left <= 0
            for end in (caller, there):
                end.shutdown(socket.SHUT_RDWR)

    def _back(self, end: socket.socket, caller: socket.socket) -> None:
        with suppress(OSError):
            while chunk := end.recv(65536):
                caller.sendall(chunk)


@pytest.fixture
def link(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[FlakyLink]:
    monkeypatch.setattr(releases, "PIECES_FROM", SIZE)
    monkeypatch.setattr(releases, "PIECE_BYTES", PIECE)
    link = FlakyLink(stack.url, each=3 * PIECE)
    yield link
    link.close()


def artifact(folder: Path, name: str) -> Path:
    """A module of its own bytes, of that size."""
    file = folder / "predictor.py"
    file.write_bytes((CODE + f"# {name}\n".encode()).ljust(SIZE, b"#"))
    return file


def test_it_is_sent_once_though_its_connections_break(
    link: FlakyLink, key: str, tmp_path: Path
) -> None:
    file = artifact(tmp_path, "broken")
    with Client(link.url, key) as client:
        release = client.deploy("pieces", file, input_type="doubles", wait=False)
        version = client.request("GET", f"models/pieces/versions/{release.version}")
    assert version["size"] == SIZE
    assert link.cuts > 3
    assert link.passed < 2 * SIZE


def test_another_client_goes_on_with_what_is_there(
    link: FlakyLink, stack: Stack, key: str, tmp_path: Path
) -> None:
    file = artifact(tmp_path, "gone on with")
    with Client(link.url, key, retries=0) as client, pytest.MonkeyPatch.context() as patch:
        patch.setattr(remote_server, "MORE_RETRIES", 0)
        link.each = 10 * PIECE
        with pytest.raises(ClipperError) as caught:
            client.deploy("pieces-again", file, input_type="doubles", wait=False)
    assert caught.value.code == "unreachable"
    link.each, before = 1 << 30, link.passed
    with Client(link.url, key) as client:
        client.deploy("pieces-again", file, input_type="doubles", wait=False)
    assert link.passed - before < 0.8 * SIZE
