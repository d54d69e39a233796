"""Real web processes under a real master, with an application that only says who it is."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.client import HTTPConnection
from pathlib import Path

import pytest

from serving.http import server
from serving.master.child import Child
from serving.master.listening import listen
from serving.master.orders import OrderFailed
from tests.serving.master.running import SECONDS, Running, running, until
from tests.serving.master.served import BEHAVIOUR

PROGRAM = (server.__name__, "tests.serving.http.served_by_master:application")
CLIENTS, RESTARTS = 4, 3
# Between a client's answer and its next question; without it, they would take what restarts need.
PAUSE_S = 0.01


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, program=PROGRAM) as one:
        yield one


class Client:
    """Asks over one connection, which it makes anew only where the answer says so."""

    def __init__(self, master: Running) -> None:
        self._connection = HTTPConnection("127.0.0.1", master.port, timeout=SECONDS)
        # The processes that answered.
        self.answers: list[int] = []

    def ask(self) -> int:
        self._connection.request("GET", "/who")
        response = self._connection.getresponse()
        self.answers.append(int(response.read()))
        if response.getheader("connection") == "close":
            self._connection.close()
        return self.answers[-1]

    def close(self) -> None:
        self._connection.close()


class Clients:
    """Several that ask all the while, each in a thread of its own."""

    def __init__(self, master: Running) -> None:
        self.all = [Client(master) for _ in range(CLIENTS)]
        self.failures: list[Exception] = []
        self._done = threading.Event()
        self._threads = [threading.Thread(target=self._ask, args=(one,)) for one in self.all]

    def __enter__(self) -> Clients:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join(SECONDS)

    def have_left(self, pids: set[int]) -> bool:
        latest = [one.answers[-1:] for one in self.all]
        return bool(self.failures) or all(last and last[0] not in pids for last in latest)

    def _ask(self, client: Client) -> None:
        try:
            while not self._done.wait(PAUSE_S):
                client.ask()
        except Exception as error:  # noqa: BLE001  (whatever it is fails the test)
            self.failures.append(error)
        finally:
            client.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_no_client_that_keeps_its_connection_notices_a_restart(
    tmp_path: Path, workers: int
) -> None:
    with running(tmp_path, workers=workers, program=PROGRAM) as master, Clients(master) as clients:
        for _ in range(RESTARTS):
            before = master.children()
            master.restart()
            assert before.isdisjoint(master.children())
            until(partial(clients.have_left, before), what="all have left")
    assert clients.failures == []


async def test_who_connects_in_the_moment_in_which_a_process_retires_is_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It finds word of its master and the connections at the same time."""
    (tmp_path / "behaviour").write_text("well")
    monkeypatch.setenv(BEHAVIOUR, str(tmp_path / "behaviour"))
    command = [sys.executable, "-m", *PROGRAM]
    with ExitStack() as held:
        listening = held.enter_context(listen("127.0.0.1:0"))
        both = [Child(command, sockets={"http": listening}, replaces=False) for _ in range(2)]
        for child in both:
            held.callback(child.signal, signal.SIGKILL)
            await child.until_ready(seconds=SECONDS)
        for child in both:
            child.signal(signal.SIGSTOP)
        address = listening.getsockname()
        clients = [
            held.enter_context(socket.create_connection(address, timeout=SECONDS))
            for _ in range(20)
        ]
        for client in clients:
            client.sendall(b"GET /who HTTP/1.1\r\nHost: here\r\n\r\n")
        both[0].retire()
        for child in both:
            child.signal(signal.SIGCONT)
        for client in clients:
            said = await asyncio.to_thread(client.recv, 1000)
            assert said.startswith(b"HTTP/1.1 200 ")
            client.close()
        both[1].retire()
        for child in both:
            until(child.reap, what="its end")


@pytest.mark.parametrize(
    ("behaviour", "why"),
    [
        ("broken", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
        ("unable", "no database"),
    ],
)
def test_where_the_new_code_cannot_start_the_old_one_goes_on_and_it_is_said_why(
    master: Running, behaviour: str, why: str
) -> None:
    client = Client(master)
    before = client.ask()
    master.behave(behaviour)
    with pytest.raises(OrderFailed) as refused:
        master.restart()
    assert f"({why}) before it was ready" in str(refused.value)
    assert client.ask() == before
    client.close()
