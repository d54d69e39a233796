"""Clients that post what they are given, each its next as soon as it is answered.

`python -m benchmarks.paper.posting` reads a plan from standard input and writes how it went to
standard output: a process of its own, so that it takes no time from the server's.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from time import monotonic

import msgspec

from benchmarks.connection import Connection, post_request


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`bodies` go to one path, in order, over so many connections."""

    host: str
    port: int
    path: str
    api_key: str
    bodies: list[str]
    connections: int


class Posted(msgspec.Struct, frozen=True, kw_only=True):
    """From the first request to the last answer, and each request's own seconds; sums of what the
    answers say.
    """

    seconds: float
    each: list[float]
    accepted: int
    duplicates: int
    rejected: int
    refused: int

    @property
    def rate(self) -> float:
        """Accepted items in a second."""
        return self.accepted / self.seconds


class _Answer(msgspec.Struct):
    accepted: int = 0
    duplicates: int = 0
    rejected: list[msgspec.Raw] = []


_decode = msgspec.json.Decoder(_Answer).decode


async def post(plan: Plan) -> Posted:
    """Post everything; an answer other than 200 counts as refused."""
    clients = [await Connection.open(plan.host, port=plan.port) for _ in range(plan.connections)]
    requests = iter(
        [
            post_request(
                host=plan.host, port=plan.port, path=plan.path, api_key=plan.api_key,
                body=body.encode(),
            )
            for body in plan.bodies
        ]
    )  # fmt: skip
    seen: list[tuple[float, int, bytes]] = []
    started = monotonic()
    await asyncio.gather(*(_client(client, requests, seen=seen) for client in clients))
    seconds = monotonic() - started
    for client in clients:
        client.close()
    answers = [_decode(body) for _, status, body in seen if status == 200]
    return Posted(
        seconds=seconds,
        each=[took for took, _, _ in seen],
        accepted=sum(answer.accepted for answer in answers),
        duplicates=sum(answer.duplicates for answer in answers),
        rejected=sum(len(answer.rejected) for answer in answers),
        refused=len(seen) - len(answers),
    )


async def _client(
    client: Connection, requests: Iterator[bytes], *, seen: list[tuple[float, int, bytes]]
) -> None:
    for request in requests:
        started = monotonic()
        status, body = await client.ask(request)
        seen.append((monotonic() - started, status, body))


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(asyncio.run(post(plan))))


if __name__ == "__main__":
    main()
