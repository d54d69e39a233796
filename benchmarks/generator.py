"""The open loop over HTTP: every query leaves when it is due, whatever became of the others.

A process of its own, which is cheap: requests are rendered beforehand but for their counter,
sockets are asked without an event loop, and the collector of garbage is off. Where everything is
due at once, it is a closed loop: each connection asks again when answered.
"""

from __future__ import annotations

import gc
import random
import select
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any
from urllib.parse import urlsplit

import msgspec

from benchmarks.wrk import COUNTER, COUNTER_DIGITS
from scripts.stack.layout import ROOT

# Counters of wrk begin at zero; these never meet them.
FIRST = 500_000_000
GIVEN_UP_SECONDS = 10.0
# Beyond the time of its plan, until it is done or taken for broken.
GRACE_SECONDS = 60.0
RECEIVED_AT_ONCE = 1 << 16
DEFAULT = b'"default":true'
NO_ANSWER = 0
HEADER_END = b"\r\n\r\n"


class Phase(msgspec.Struct, frozen=True):
    """So many seconds at so many queries a second."""

    rate: float
    seconds: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Where to ask what. `bodies` is a file with one body a line. What has a counter in it differs
    each time it is asked, as that begins at `first`. So many `connections` may be busy at once; the
    next query waits for one, and its wait counts. Without `phases` each body is asked once, as soon
    as a connection is free, within `seconds`; then the answers of status 200 are kept.
    """

    url: str
    api_key: str
    bodies: str
    first: int = FIRST
    phases: list[Phase] = []
    seconds: float = 0.0
    connections: int = 1024

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
    """What became of every query, in the order in which they were due, seconds after `zero`. That
    is on the monotonic clock, which all processes share.
    """

    zero: float
    elapsed: float
    queries: list[Query]
    answers: list[bytes] = []


def arrivals(phases: Sequence[Phase], *, seed: int) -> Iterator[float]:
    """When each query is due: independent of each other, as those of many people (Poisson)."""
    generator = random.Random(seed)
    start = 0.0
    for phase in phases:
        due = start + generator.expovariate(phase.rate)
        start += phase.seconds
        while due < start:
            yield due
            due += generator.expovariate(phase.rate)


def rendered(plan: Plan) -> list[tuple[bytes, bytes]]:
    """Return the request of each body, without the digits of the counter that it has in it."""
    url, requests = urlsplit(plan.url), []
    for body in Path(plan.bodies).read_bytes().splitlines():
        request = post_request(
            host=url.hostname or "", port=url.port or 0, path=url.path, api_key=plan.api_key,
            body=body,
        )  # fmt: skip
        head, mark, tail = request.partition(COUNTER.encode())
        requests.append((head + mark[:-COUNTER_DIGITS], tail))
    return requests


def post_request(*, host: str, port: int, path: str, api_key: str, body: bytes) -> bytes:
    """A POST of JSON with the key in it, as it goes over the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Authorization: Api-Key {api_key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def answer_in(received: bytes | bytearray) -> tuple[int, bytes, int] | None:
    """Return status, body and length of the answer that begins here; None until all is there."""
    end = received.find(HEADER_END)
    if end < 0:
        return None
    status, size = head_of(bytes(received[:end]))
    whole = end + len(HEADER_END) + size
    body = bytes(received[whole - size : whole])
    return (status, body, whole) if len(received) >= whole else None


def head_of(head: bytes) -> tuple[int, int]:
    """Return the status, and the length of the body that follows."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(head[9:12]), int(value)
    return int(head[9:12]), 0


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
        self._requests = rendered(plan)
        # Without phases all are due at once.
        self._due = list(arrivals(plan.phases, seed=plan.first)) or [0.0] * len(self._requests)
        self._queries: dict[int, Query] = {}
        self._answers: list[bytes] = []
        self._epoll = select.epoll()
        self._connections: dict[int, _Connection] = {}
        self._free: list[_Connection] = []
        self._next = 0
        self._zero = self._free_since = 0.0
        for _ in range(plan.connections):
            self._connect()

    def run(self) -> Recording:
        """Ask everything, and return when all is answered or given up."""
        gc.disable()
        self._zero = monotonic()
        give_up = self._zero + self._plan.lasts + GIVEN_UP_SECONDS
        while self._next < len(self._due) or len(self._free) < len(self._connections):
            if monotonic() > give_up:
                break
            self._send_what_is_due()
            # When the next query has to leave, unless it has to wait for a connection.
            waits = self._next < len(self._due) and self._free
            self._receive(until=self._zero + self._due[self._next] if waits else give_up)
        elapsed = monotonic() - self._zero
        for connection in self._connections.values():
            self._end(connection, status=NO_ANSWER)
            connection.socket.close()
        # One that was never sent has waited until now.
        queries = [
            self._queries.get(number) or Query(due, elapsed - due, 0.0, NO_ANSWER, False)
            for number, due in enumerate(self._due)
        ]
        return Recording(zero=self._zero, elapsed=elapsed, queries=queries, answers=self._answers)

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
            head, tail = self._requests[number % len(self._requests)]
            counter = b"%0*d" % (COUNTER_DIGITS, self._plan.first + number) if tail else b""
            try:
                connection.socket.sendall(b"%b%b%b" % (head, counter, tail))
            except OSError:
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

    def _connect(self) -> None:
        url = urlsplit(self._plan.url)
        opened = socket.create_connection((url.hostname or "", url.port or 0))
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = self._connections[opened.fileno()] = _Connection(opened)
        self._epoll.register(opened, select.EPOLLIN)
        self._release(connection)

    def _release(self, connection: _Connection) -> None:
        if not self._free:
            self._free_since = monotonic()
        self._free.append(connection)

    def _replace(self, connection: _Connection) -> None:
        """Its query gets no answer; another one takes its place."""
        self._end(connection, status=NO_ANSWER)
        del self._connections[connection.socket.fileno()]
        if connection in self._free:
            self._free.remove(connection)
        self._epoll.unregister(connection.socket)
        connection.socket.close()
        self._connect()


class OpenLoop:
    """Carries plans out, each in a process of its own; the counter in the bodies never repeats."""

    def __init__(self, *, api_key: str) -> None:
        self._api_key = api_key
        self._first = FIRST

    def run(self, url: str, *, bodies: Path, **how: Any) -> Recording:
        """Ask what is at that URL; `how` are the other fields of a plan."""
        given: dict[str, Any] = {
            "url": url,
            "api_key": self._api_key,
            "bodies": str(bodies),
            "first": self._first,
        }
        plan = Plan(**given, **how)
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


if __name__ == "__main__":
    given = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.msgpack.encode(Generator(given).run()))
