"""An open loop over raw sockets: every query leaves when it is due, whatever became of the others.

`python -m benchmarks.tail.generator` reads a plan from standard input and writes a recording to
standard output: a process of its own. It shares two cores with the server that it measures, so a
query costs it little: requests are rendered beforehand but for their counter, sockets are asked
without an event loop in between, and the collector of garbage is off.
"""

from __future__ import annotations

import gc
import select
import socket
import subprocess
import sys
import time
from array import array
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import msgspec

from benchmarks.connection import answer_in, post_request
from benchmarks.load import COUNTER_DIGITS
from benchmarks.paper.open_loop import NO_ANSWER, Phase, arrivals
from scripts.stack.layout import ROOT

# So many queries may be open at once; the next one waits for a connection, and its wait counts.
CONNECTIONS = 1024
GIVEN_UP_SECONDS = 10.0
# Beyond the time of its plan, until it is done or taken for broken.
GRACE_SECONDS = 60.0
RECEIVED_AT_ONCE = 1 << 16
DEFAULT = b'"default":true'
# As `benchmarks.models` writes it, whose imports would take the generator a second.
COUNTER = b"0." + COUNTER_DIGITS * b"0"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to ask what. `bodies` is a file with one body a line, each with a counter in it, which
    begins at `first`, so that no two queries are the same.
    """

    host: str
    port: int
    path: str
    api_key: str
    bodies: str
    first: int
    rate: float
    seconds: float
    seed: int = 1
    connections: int = CONNECTIONS


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every query, in the order in which they were due: arrays as bytes.

    `due` seconds after `zero`, which is on the monotonic clock that all processes share; `took`
    seconds from then to the answer; `late` seconds from then until it was sent, less those that it
    had to wait for a connection: all float64. HTTP's `status` (0 without an answer) is uint16,
    `default` uint8. `cpu_seconds` are the generator's own while it asked.
    """

    zero: float
    elapsed: float
    cpu_seconds: float
    most_open: int
    due: bytes
    took: bytes
    late: bytes
    status: bytes
    default: bytes


class Requests:
    """The requests of a plan: all that can be is rendered beforehand."""

    def __init__(self, plan: Plan) -> None:
        self._first = plan.first
        self._parts = [_around_the_counter(plan, body) for body in _lines(plan.bodies)]

    def __getitem__(self, number: int) -> bytes:
        number += self._first
        head, tail = self._parts[number % len(self._parts)]
        return b"%b%0*d%b" % (head, COUNTER_DIGITS, number, tail)


def _lines(file: str) -> list[bytes]:
    return Path(file).read_bytes().splitlines()


def _around_the_counter(plan: Plan, body: bytes) -> tuple[bytes, bytes]:
    request = post_request(
        host=plan.host, port=plan.port, path=plan.path, api_key=plan.api_key, body=body
    )
    head, mark, tail = request.partition(COUNTER)
    return head + mark[:-COUNTER_DIGITS], tail


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    number: int = -1
    received: bytearray = field(default_factory=bytearray)


class Generator:
    """Owns the connections. Of those that are free the last one used is used again first."""

    def __init__(self, plan: Plan, *, due: Sequence[float]) -> None:
        self._plan = plan
        self._requests = Requests(plan)
        self._due = due
        self._took = array("d", bytes(8 * len(due)))
        self._late = array("d", bytes(8 * len(due)))
        self._status = array("H", bytes(2 * len(due)))
        self._default = bytearray(len(due))
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._free: deque[_Connection] = deque()
        for _ in range(plan.connections):
            self._connect()
        self._next = self._most_open = 0
        self._zero = self._free_since = 0.0

    def run(self) -> Recording:
        """Ask everything, and return when all is answered or given up."""
        gc.disable()
        cpu, self._zero = time.process_time(), monotonic()
        give_up = self._zero + self._plan.seconds + GIVEN_UP_SECONDS
        while self._next < len(self._due) or len(self._free) < len(self._connections):
            if monotonic() > give_up:
                break
            self._send_what_is_due()
            self._receive(until=self._moment_of_next(give_up))
        elapsed, spent = monotonic() - self._zero, time.process_time() - cpu
        for connection in self._connections.values():
            connection.socket.close()
        return Recording(
            zero=self._zero,
            elapsed=elapsed,
            cpu_seconds=spent,
            most_open=self._most_open,
            due=array("d", self._due).tobytes(),
            took=self._took.tobytes(),
            late=self._late.tobytes(),
            status=self._status.tobytes(),
            default=bytes(self._default),
        )

    def _moment_of_next(self, give_up: float) -> float:
        """When the next query has to leave, unless it has to wait for a connection."""
        if self._next < len(self._due) and self._free:
            return self._zero + self._due[self._next]
        return give_up

    def _send_what_is_due(self) -> None:
        due, free, zero = self._due, self._free, self._zero
        while self._next < len(due) and free:
            number = self._next
            now = monotonic()
            if now < zero + due[number]:
                return
            self._next += 1
            # It is not the generator's fault where it had to wait for a connection.
            self._late[number] = now - max(zero + due[number], self._free_since)
            connection = free.pop()
            connection.number = number
            self._most_open = max(self._most_open, len(self._connections) - len(free))
            try:
                connection.socket.sendall(self._requests[number])
            except OSError:
                self._end(connection, status=NO_ANSWER)
                self._replace(connection)

    def _receive(self, *, until: float) -> None:
        """Take the answers that are there, or wait for some, at most until then."""
        events = self._epoll.poll(0)
        if not events:
            # epoll itself would round the time up to a whole millisecond.
            select.select([self._epoll], [], [], max(0.0, until - monotonic()))
            events = self._epoll.poll(0)
        for descriptor, _ in events:
            self._take(self._connections[descriptor])

    def _take(self, connection: _Connection) -> None:
        try:
            data = connection.socket.recv(RECEIVED_AT_ONCE, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._end(connection, status=NO_ANSWER)
            self._replace(connection)
            return
        connection.received += data
        answer = answer_in(connection.received)
        if answer is None:
            return
        status, body, whole = answer
        del connection.received[:whole]
        self._end(connection, status=status, default=DEFAULT in body)
        self._release(connection)

    def _end(self, connection: _Connection, *, status: int, default: bool = False) -> None:
        number, connection.number = connection.number, -1
        if number >= 0:
            self._took[number] = monotonic() - self._zero - self._due[number]
            self._status[number] = status
            self._default[number] = default

    def _connect(self) -> None:
        opened = socket.create_connection((self._plan.host, self._plan.port))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._connections[opened.fileno()] = _Connection(opened)
        self._epoll.register(opened, select.EPOLLIN)
        self._release(connection)

    def _release(self, connection: _Connection) -> None:
        if not self._free:
            self._free_since = monotonic()
        self._free.append(connection)

    def _replace(self, connection: _Connection) -> None:
        del self._connections[connection.socket.fileno()]
        if connection in self._free:
            self._free.remove(connection)
        self._epoll.unregister(connection.socket)
        connection.socket.close()
        self._connect()


def due_times(plan: Plan) -> list[float]:
    """When each query is due: independent of each other, as those of many people (Poisson)."""
    return list(arrivals([Phase(rate=plan.rate, seconds=plan.seconds)], seed=plan.seed))


def driven(plan: Plan) -> Recording:
    """Carry out the plan in a process of its own."""
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.tail.generator"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        cwd=ROOT,
        check=True,
        timeout=plan.seconds + GRACE_SECONDS,
    )
    return msgspec.msgpack.decode(finished.stdout, type=Recording)


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    recording = Generator(plan, due=due_times(plan)).run()
    sys.stdout.buffer.write(msgspec.msgpack.encode(recording))


if __name__ == "__main__":
    main()
