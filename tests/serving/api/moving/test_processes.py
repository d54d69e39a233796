"""Two kinds of process on one address: what a client sees of it, and what dies costs."""

from __future__ import annotations

import hashlib
import json
import os
import random
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from serving.api.whose import Kind
from tests.serving.api.front_server import KEY, request
from tests.serving.api.moving.two_kinds import listening_at

MODULE = "tests.serving.api.moving.process"
ROOT = Path(__file__).resolve().parents[4]
PREDICT = "/api/v1/applications/digits/predict"
HEADERS = {"Authorization": f"Api-Key {KEY.decode()}"}
SECONDS = 60.0
# Nothing here is asked over TLS: to read whom this machine trusts takes 7 ms for each client.
TRUSTS_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
MIB = 1 << 20


class Running:
    """One process, of either kind."""

    def __init__(self, kind: Kind, *, folder: Path, listening: socket.socket) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", MODULE, kind, str(folder), str(listening.fileno())],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            pass_fds=[listening.fileno()],
        )
        self.port = int(self.line())
        # What it has open before anybody asks it.
        self.at_first = self.open_descriptors()

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SECONDS)
        if self.process.stdout is not None:
            self.process.stdout.close()

    def open_descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))

    def allow_descriptors(self, count: int) -> None:
        _, most = resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(self.process.pid, resource.RLIMIT_NOFILE, (count, most))

    def peak_memory(self) -> int:
        """The most that it ever had, in bytes."""
        return self._status("VmHWM:") * 1024

    def bytes_read(self) -> int:
        """What it has read so far, of files and of connections, as the kernel counts it."""
        return int(Path(f"/proc/{self.process.pid}/io").read_text().split()[1])

    def _status(self, name: str) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith(name))


class Stack:
    """The sockets that connections are handed over by, and processes that come and go."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._listening = {kind: listening_at(folder / kind, backlog=256) for kind in Kind}
        self._all: list[Running] = []
        self.predict = self.start(Kind.PREDICT)
        self.console = self.start(Kind.CONSOLE)

    def start(self, kind: Kind) -> Running:
        started = Running(kind, folder=self._folder, listening=self._listening[kind])
        self._all.append(started)
        return started

    def close(self) -> None:
        for each in self._all:
            each.kill()
        for listening in self._listening.values():
            listening.close()

    def client(self) -> httpx.Client:
        return httpx.Client(
            base_url=f"http://127.0.0.1:{self.predict.port}",
            headers=HEADERS,
            timeout=SECONDS,
            limits=httpx.Limits(max_connections=1),
            trust_env=False,
            verify=TRUSTS_NOBODY,
        )

    @contextmanager
    def connection(self) -> Iterator[socket.socket]:
        with socket.create_connection(("127.0.0.1", self.predict.port), SECONDS) as connection:
            yield connection


@contextmanager
def started(folder: Path) -> Iterator[Stack]:
    with ExitStack() as closing:
        made = Stack(folder)
        closing.callback(made.close)
        yield made


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """For tests that leave it as it was."""
    with started(tmp_path_factory.mktemp("moving")) as made:
        yield made


@pytest.fixture
def mortal(tmp_path: Path) -> Iterator[Stack]:
    """Whose processes may be killed."""
    with started(tmp_path) as made:
        yield made


def told(kind: Kind, path: str, body: bytes = b"") -> list[Any]:
    return [kind, path, len(body), hashlib.sha256(body).hexdigest()]


def predicted(response: httpx.Response) -> Any:
    assert response.status_code == 200, response.text
    return response.json()["output"]


def test_a_client_asks_both_over_one_connection(stack: Stack) -> None:
    with stack.client() as client:
        for number in range(50):
            assert predicted(client.post(PREDICT, json={"input": [number]})) == [number]
            assert client.get("/admin/").json() == told(Kind.CONSOLE, "/admin/")
            assert client.post("/digits/update", content=b"abc").json() == told(
                Kind.PREDICT, "/digits/update", b"abc"
            )
            body = random.randbytes(random.randrange(300_000))
            assert client.put("/api/x", content=body).json() == told(Kind.CONSOLE, "/api/x", body)


def test_an_upload_takes_neither_memory_nor_time_of_the_process_for_queries(stack: Stack) -> None:
    block, count = os.urandom(MIB), 300
    whole = hashlib.sha256()

    def blocks() -> Iterator[bytes]:
        for _ in range(count):
            whole.update(block)
            yield block

    with stack.client() as client:
        assert predicted(client.post(PREDICT, json={"input": [1]})) == [1]
        memory, read = stack.predict.peak_memory(), stack.predict.bytes_read()
        read_by_console = stack.console.bytes_read()
        answer = client.post("/admin/upload", content=blocks()).json()
        assert answer == [Kind.CONSOLE, "/admin/upload", count * MIB, whole.hexdigest()]
        assert stack.predict.peak_memory() - memory < 4 * MIB
        assert stack.console.bytes_read() - read_by_console > count * MIB // 2
        assert stack.predict.bytes_read() - read < MIB
        assert predicted(client.post(PREDICT, json={"input": [1]})) == [1]


def test_consoles_that_poll_take_no_time_of_the_process_for_queries(stack: Stack) -> None:
    with ExitStack() as kept:
        clients = [kept.enter_context(stack.client()) for _ in range(20)]
        for client in clients:
            assert client.get("/admin/").json() == told(Kind.CONSOLE, "/admin/")
        before = stack.predict.bytes_read(), stack.console.bytes_read()
        for _ in range(20):
            for client in clients:
                assert client.get("/admin/").json() == told(Kind.CONSOLE, "/admin/")
        by_console = stack.console.bytes_read() - before[1]
        assert stack.predict.bytes_read() - before[0] < by_console / 5


def test_a_slow_reader_takes_no_memory_of_the_process_for_queries(stack: Stack) -> None:
    with stack.connection() as connection:
        memory = stack.predict.peak_memory()
        connection.sendall(request(b"", method=b"GET", path=b"/admin/blocks/800"))
        # The answer is 50 MiB, of which nothing is read before queries were answered.
        with stack.client() as client:
            for number in range(100):
                assert predicted(client.post(PREDICT, json={"input": [number]})) == [number]
        came = 0
        while came < 800 * (64 << 10):
            came += len(connection.recv(1 << 20))
        assert stack.predict.peak_memory() - memory < 4 * MIB


def test_an_answer_comes_though_who_handed_the_request_over_was_killed(mortal: Stack) -> None:
    with mortal.connection() as connection:
        connection.sendall(request(b"abc", path=b"/admin/hold"))
        assert mortal.console.line() == "held\n"
        mortal.predict.kill()
        # There before the answer: who asks nothing for long is let go.
        mortal.predict = mortal.start(Kind.PREDICT)
        httpx.post(f"http://127.0.0.1:{mortal.console.port}/admin/go", trust_env=False)
        assert body_of(connection) == told(Kind.CONSOLE, "/admin/hold", b"abc")
        # The connection goes on, and moves to the process that came instead.
        connection.sendall(request(b'{"input":[3]}'))
        assert body_of(connection)["output"] == [3]


def test_a_connection_waits_for_the_console_that_comes_instead(mortal: Stack) -> None:
    """The killed one had not taken it."""
    mortal.console.process.send_signal(signal.SIGSTOP)
    with mortal.connection() as connection:
        connection.sendall(request(b"abc", path=b"/admin/"))
        with (
            mortal.client() as client
        ):  # until it has been handed over, as this one's is read later
            assert predicted(client.post(PREDICT, json={"input": [1]})) == [1]
        mortal.console.kill()
        mortal.start(Kind.CONSOLE)
        assert body_of(connection) == told(Kind.CONSOLE, "/admin/", b"abc")


def test_consoles_that_are_killed_cost_queries_nothing(mortal: Stack) -> None:
    """And a request of theirs has its answer, or is refused, or ends with the killed process."""
    over, seen = threading.Event(), dict.fromkeys(["answered", "refused", "lost"], 0)
    wrong: list[str] = []

    def ask() -> None:
        while not over.is_set():
            with mortal.client() as client:
                try:
                    answer = client.post("/admin/", content=b"abc")
                except (httpx.RemoteProtocolError, httpx.ReadError):
                    seen["lost"] += 1
                    continue
                if answer.status_code == 200 and answer.json()[0] == Kind.CONSOLE:
                    seen["answered"] += 1
                elif answer.status_code == 503 and answer.json()["code"] == "process_away":
                    seen["refused"] += 1
                else:
                    wrong.append(answer.text)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    console = mortal.console
    try:
        with mortal.client() as client:
            for _ in range(3):
                following = mortal.start(Kind.CONSOLE)
                console.kill()
                console = following
                for number in range(50):
                    assert predicted(client.post(PREDICT, json={"input": [number]})) == [number]
    finally:
        over.set()
        for thread in threads:
            thread.join(SECONDS)
    assert wrong == []
    assert seen["answered"] > 0
    # One for each client and each that was killed: they died with it.
    assert seen["lost"] <= 6
    assert seen["refused"] == 0


def test_a_console_out_of_descriptors_leaves_connections_to_others_or_to_later(
    stack: Stack,
) -> None:
    console, predict = stack.console, stack.predict
    with stack.client() as client:
        assert client.get("/admin/").json() == told(Kind.CONSOLE, "/admin/")
        console.allow_descriptors(console.open_descriptors() + 5)
        try:
            with ExitStack() as kept:
                clients = [kept.enter_context(stack.connection()) for _ in range(12)]
                for each in clients:
                    each.sendall(request(b"abc", path=b"/admin/"))
                with stack.client() as other:
                    assert predicted(other.post(PREDICT, json={"input": [1]})) == [1]
                console.allow_descriptors(1024)
                answers = [body_of(each) for each in clients]
        finally:
            console.allow_descriptors(1024)
        taken = [answer for answer in answers if isinstance(answer, list)]
        refused = [answer["code"] for answer in answers if not isinstance(answer, list)]
        assert taken
        assert set(refused) <= {"process_away"}
        assert client.get("/admin/").json() == told(Kind.CONSOLE, "/admin/")
    for process in (console, predict):
        while process.open_descriptors() > process.at_first:
            time.sleep(0.01)


def test_websockets_and_pages_share_an_address(stack: Stack) -> None:
    uri = f"ws://127.0.0.1:{stack.predict.port}/ws/v1/applications/digits"
    with connect(uri) as websocket, stack.client() as client:
        for number in range(20):
            websocket.send(str(number))
            assert client.get("/admin/").json() == told(Kind.CONSOLE, "/admin/")
            assert websocket.recv() == str(number)


def body_of(connection: socket.socket) -> Any:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line.split(b":")[1])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    )
    while len(body) < length:
        body += _some(connection)
    return json.loads(body)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    assert data, "the connection was closed"
    return data
