"""Connections that come at once are served alike: none waits while others ask again and again."""

import selectors
import signal
import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from tests.integration.stack import Stack

SECONDS = 60.0
COUNT = 300
REQUEST = b"GET /health/live HTTP/1.1\r\nHost: here\r\n\r\n"
END = b'"live"'
# Requests of each other connection that are answered before the last one's first.
MOST_ROUNDS = 5


@contextmanager
def frozen(stack: Stack) -> Iterator[None]:
    """Have the processes that answer queries do nothing."""
    processes = stack.web_processes()
    for process in processes:
        process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            process.send_signal(signal.SIGCONT)


def test_no_connection_waits_for_its_first_answer_while_others_have_many(stack: Stack) -> None:
    answered: Counter[int] = Counter()
    with ExitStack() as held, selectors.DefaultSelector() as ready:
        with frozen(stack):
            for number in range(COUNT):
                connection = socket.create_connection(("127.0.0.1", stack.port), timeout=SECONDS)
                held.enter_context(connection)
                connection.sendall(REQUEST)
                ready.register(connection, selectors.EVENT_READ, number)
        while len(answered) < COUNT and answered.total() <= COUNT * MOST_ROUNDS:
            found = ready.select(SECONDS)
            assert found, f"{COUNT - len(answered)} connections have no answer"
            for key, _ in found:
                connection = key.fileobj  # type: ignore[assignment]  # that is what is registered
                received = b""
                while END not in received:
                    data = connection.recv(1 << 12)
                    assert data
                    received += data
                answered[key.data] += 1
                connection.sendall(REQUEST)
    assert len(answered) == COUNT
