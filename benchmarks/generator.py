"""The open loop over HTTP: every query leaves when it is due, whatever became of the others.

`python -m benchmarks.generator` reads a plan from standard input and writes a recording to
standard output: a process of its own. It shares two cores with the server that it measures, so a
query costs it little: requests are rendered beforehand but for their counter, sockets are asked
without an event loop in between, and the collector of garbage is off.

Where everything is due at once, it is a closed loop: each connection asks again when answered.
"""

from __future__ import annotations

import gc
import random
import select
import socket
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks.connection import answer_in, post_request
from benchmarks.wrk import COUNTER, COUNTER_DIGITS
from scripts.stack.layout import ROOT

# So many queries may be open at once; the next one waits for a connection, and its wait counts.
CONNECTIONS = 1024
# Counters of wrk begin at zero; these never meet them.
FIRST = 500_000_000
GIVEN_UP_SECONDS = 10.0
# Beyond the time of its plan, until it is done or taken for broken.
GRACE_SECONDS = 60.0
RECEIVED_AT_ONCE = 1 << 16
DEFAULT = b'"default":true'
NO_ANSWER = 0


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """So many seconds at so many queries a second."""

    rate: float
    seconds: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to ask what. `bodies` is a file with one body a line. What has a counter in it differs
    each time it is asked, as that begins at `first`.

    Without `phases` each body is asked once, as soon as a connection is free, within `seconds`;
    then the answers of status 200 are kept.
    """

    host: str
    port: int
    path: str
    api_key: str
    bodies: str
    first: int = FIRST
    phases: list[Phase] = []
    seconds: float = 0.0
    seed: int = 1
    connections: int = CONNECTIONS

    @property
    def lasts(self) -> float:
        return self.seconds + sum(phase.seconds for phase in self.phases)


class Query(msgspec.Struct, frozen=True, array_like=True):
    """One query: when it was due, and the seconds from then to its answer and until it was sent.

    From when it was due, not from when it was sent: a generator that fell behind must not hide how
    long a client would have waited. `late` is without what it had to wait for a connection.
    `status` is HTTP's, or 0 where no answer came.
    """

    due: float
    took: float
    late: float
    status: int
    default: bool


class Recording(msgspec.Struct, frozen=True, kw_only=True):
    """What became of every query, in the order in which they were due, seconds after `zero`.

    That is on the monotonic clock, which all processes share. `cpu_seconds` are the generator's own
    while it asked.
    """

    zero: float
    elapsed: float
    cpu_seconds: float
    most_open: int
    queries: list[Query]
    answers: list[bytes] = []


def arrivals(phases: Sequence[Phase], *, seed: int) -> Iterator[float]:
    """When each query is due: independent of each other, as those of many people (Poisson)."""
    generator = random.Random(seed)
    starts = [0.0]
    for phase in phases:
        starts.append(starts[-1] + phase.seconds)
    for phase, (start, end) in zip(phases, pairwise(starts), strict=True):
        due = start + generator.expovariate(phase.rate)
        while due < end:
            yield due
            due += generator.expovariate(phase.rate)


class Requests:
    """The requests of a plan: all that can be is rendered beforehand."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        bodies = Path(plan.bodies).read_bytes().splitlines()
        self._parts = [self._around_the_counter(body) for body in bodies]

    def __len__(self) -> int:
        return len(self._parts)

    def __getitem__(self, number: int) -> bytes:
        head, tail = self._parts[number % len(self._parts)]
        if not tail:
            return head
        return b"%b%0*d%b" % (head, COUNTER_DIGITS, self._plan.first + number, tail)

    def _around_the_counter(self, body: bytes) -> tuple[bytes, bytes]:
        plan = self._plan
        request = post_request(
            host=plan.host, port=plan.port, path=plan.path, api_key=plan.api_key, body=body
        )
        head, mark, tail = request.partition(COUNTER.encode())
        return head + mark[:-COUNTER_DIGITS], tail


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    number: int = -1
    late: float = 0.0
    received: bytearray = field(default_factory=bytearray)


class Generator:
    """Owns the connections. Of those that are free the last one used is used again first."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._requests = Requests(plan)
        self._due = due_times(plan, bodies=len(self._requests))
        self._queries: dict[int, Query] = {}
        self._answers: list[bytes] = []
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
        give_up = self._zero + self._plan.lasts + GIVEN_UP_SECONDS
        while self._next < len(self._due) or len(self._free) < len(self._connections):
            if monotonic() > give_up:
                break
            self._send_what_is_due()
            self._receive(until=self._moment_of_next(give_up))
        elapsed, spent = monotonic() - self._zero, time.process_time() - cpu
        for connection in self._connections.values():
            self._end(connection, status=NO_ANSWER)
            connection.socket.close()
        return Recording(
            zero=self._zero,
            elapsed=elapsed,
            cpu_seconds=spent,
            most_open=self._most_open,
            queries=[self._became(number, elapsed=elapsed) for number in range(len(self._due))],
            answers=self._answers,
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
            connection = free.pop()
            connection.number = number
            # It is not the generator's fault where it had to wait for a connection.
            connection.late = now - max(zero + due[number], self._free_since)
            if not self._plan.phases:
                due[number] = now - zero
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
        if status == 200 and not self._plan.phases:
            self._answers.append(body)
        self._end(connection, status=status, default=DEFAULT in body)
        self._release(connection)

    def _end(self, connection: _Connection, *, status: int, default: bool = False) -> None:
        number, connection.number = connection.number, -1
        if number >= 0:
            due = self._due[number]
            took = monotonic() - self._zero - due
            self._queries[number] = Query(due, took, connection.late, status, default)

    def _became(self, number: int, *, elapsed: float) -> Query:
        """What became of a query; one that was never sent has waited until now."""
        due = self._due[number]
        return self._queries.get(number) or Query(due, elapsed - due, 0.0, NO_ANSWER, False)

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


def due_times(plan: Plan, *, bodies: int) -> list[float]:
    """When each query is due; without phases all of them are at once."""
    return list(arrivals(plan.phases, seed=plan.seed)) if plan.phases else [0.0] * bodies


class OpenLoop:
    """Carries plans out, each in a process of its own; the counter in the bodies never repeats."""

    def __init__(self, *, api_key: str) -> None:
        self._api_key = api_key
        self._first = FIRST

    def run(self, url: str, *, bodies: Path, **how: Any) -> Recording:
        """Ask what is at that URL; `how` are the other fields of a plan."""
        parts = urlsplit(url)
        plan = Plan(
            host=parts.hostname or "",
            port=parts.port or 0,
            path=parts.path,
            api_key=self._api_key,
            bodies=str(bodies),
            first=self._first,
            seed=self._first,
            **how,
        )
        finished = subprocess.run(
            [sys.executable, "-m", "benchmarks.generator"],
            input=msgspec.json.encode(plan),
            stdout=subprocess.PIPE,
            cwd=ROOT,
            check=True,
            timeout=plan.lasts + GRACE_SECONDS,
        )
        recording = msgspec.msgpack.decode(finished.stdout, type=Recording)
        self._first += len(recording.queries)
        return recording


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.msgpack.encode(Generator(plan).run()))


if __name__ == "__main__":
    main()
