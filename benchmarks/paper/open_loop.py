"""Clients that ask when it is time to, whether or not others were answered: an open loop over HTTP.

`python -m benchmarks.paper.open_loop` reads a plan from standard input and writes what became of
every query to standard output: a process of its own, so that it takes no time from the server.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

import msgspec

from benchmarks.connection import Connection, post_request

# Beyond its due time and that of the last query, a query is given up after so long.
GIVEN_UP_SECONDS = 10.0
NO_ANSWER = 0


class Phase(msgspec.Struct, frozen=True, kw_only=True):
    """So many seconds at so many queries a second."""

    rate: float
    seconds: float


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`body` has `%d` where each query puts its number, so that no two ask the same."""

    host: str
    port: int
    path: str
    api_key: str
    body: str
    phases: list[Phase]
    seed: int = 1


class Sample(msgspec.Struct, frozen=True, array_like=True):
    """One query: when it was due and how long after that its answer was there, in seconds.

    From when it was due, not from when it was sent: a generator that fell behind must not hide how
    long a client would have waited. `status` is HTTP's, or 0 where no answer came.
    """

    due: float
    seconds: float
    status: int
    default: bool


class _Answer(msgspec.Struct):
    default: bool = False


_decode_answer = msgspec.json.Decoder(_Answer).decode


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


async def drive(plan: Plan) -> list[Sample]:
    """Ask everything when it is due, and return when all is answered or given up."""
    return await _Generator(plan).run()


class _Generator:
    """Owns the connections: as many as queries are open at a time, each used again when free."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._free: list[Connection] = []
        self._samples: list[Sample] = []
        self._open: set[asyncio.Task[None]] = set()
        self._zero = 0.0

    async def run(self) -> list[Sample]:
        loop = asyncio.get_running_loop()
        self._zero = loop.time()
        for number, due in enumerate(arrivals(self._plan.phases, seed=self._plan.seed)):
            if (pause := self._zero + due - loop.time()) > 0.0:
                await asyncio.sleep(pause)
            task = loop.create_task(self._ask(number, due=due))
            self._open.add(task)
            task.add_done_callback(self._open.discard)
        if self._open:
            await asyncio.wait(self._open)
        for client in self._free:
            client.close()
        return sorted(self._samples, key=lambda sample: sample.due)

    async def _ask(self, number: int, *, due: float) -> None:
        status, default = NO_ANSWER, False
        client = self._free.pop() if self._free else None
        try:
            async with asyncio.timeout_at(self._zero + due + GIVEN_UP_SECONDS):
                client = client or await self._connected()
                status, body = await client.ask(self._request(number))
            default = status == 200 and _decode_answer(body).default
            self._free.append(client)
        except (OSError, TimeoutError):
            if client is not None:
                client.close()
        seconds = asyncio.get_running_loop().time() - self._zero - due
        self._samples.append(Sample(due, seconds, status, default))

    async def _connected(self) -> Connection:
        return await Connection.open(self._plan.host, port=self._plan.port)

    def _request(self, number: int) -> bytes:
        plan = self._plan
        return post_request(
            host=plan.host,
            port=plan.port,
            path=plan.path,
            api_key=plan.api_key,
            body=(plan.body % number).encode(),
        )


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(drive(plan))))


if __name__ == "__main__":
    main()
