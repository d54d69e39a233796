"""`make bench-guard`: has a query become dearer? Answered in half a minute, in one process.

Queries go through the HTTP protocol, the whole prediction path and the frames, but not through
sockets; the replicas are played. Their CPU time is told as a multiple of what a bare ASGI echo of
the same body takes in the same process, turn and turn about, so that neither the machine nor its
neighbours decide: only the code does. Ends with 1 where a multiple is above its bound.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from time import process_time
from typing import Any

import msgspec
import uvicorn
from redis.asyncio import Redis
from uvicorn.server import ServerState

from benchmarks import echo
from benchmarks.connection import post_request
from benchmarks.experiment import Experiment, Session, run_on_uvloop
from benchmarks.linear import body, enlarged
from benchmarks.study import Study
from benchmarks.targets import Target, at_most
from benchmarks.wrk import COUNTER
from registry.demo.digits import held_out
from registry.specs import Snapshot, VersionSpec
from selection.feedback.default_rewards.due import DueReceipts
from selection.receipts import ReceiptSigner
from selection.store.outputs import OutputStore
from selection.store.state import SelectionStore
from serving.api.front import DirectPredictions, FrontProtocol
from serving.api.shared import STATE_KEY
from serving.engine.engine import Engine, EngineSpec
from serving.engine.replica import Replica
from serving.metrics.published import Metrics
from serving.query.processor import QueryProcessor
from serving.query.routing import Router
from serving.rpc.frames import (
    Answer,
    AnswerStatus,
    FrameDecoder,
    decode_predict,
    encode_answers,
)
from serving.testing.specs import (
    application_spec,
    hello_of,
    key_spec,
    routes_to,
    snapshot_of,
    version_spec,
)

ROUNDS, QUERIES, IN_FLIGHT = 15, 640, 64
KEY = "clp_guard"
OBJECTIVE_MS = 10_000.0
ANSWER = Answer(AnswerStatus.OK, b"3")
ONE, FIVE = "one", "five"
# What each may cost, in echoes: a third more than was seen (3.7, 4.6, 5.1 and 8.6).
BOUNDS = {"hits": 4.9, "misses": 6.2, "hits of 5 models": 6.8, "misses of 5 models": 11.5}


@dataclass(slots=True)
class Transport:
    """The end of a connection that leads nowhere; counts the responses."""

    protocol: Any = None
    responses: int = 0

    def write(self, data: bytes) -> None:
        if not data.startswith(b"HTTP/1.1 200 OK\r\n"):
            raise AssertionError(f"expected a prediction, got {data[:300]!r}")
        self.responses += 1

    def is_closing(self) -> bool:
        return False

    def close(self) -> None:
        """It has none at the other end."""

    def get_protocol(self) -> Any:
        return self.protocol

    def get_extra_info(self, name: str) -> None:
        return None


class PlayedReplica:
    """Answers each batch when it is told to."""

    writable = True

    def __init__(self) -> None:
        self.replica: Replica | None = None
        self._frames: list[bytes] = []
        self._decoder = FrameDecoder()

    def send(self, data: bytes) -> None:
        self._frames.append(data)

    def answers(self) -> list[bytes]:
        """Return what a container would send back now."""
        waiting, self._frames = self._frames, []
        found = []
        for data in waiting:
            for frame in FrameDecoder().feed(data):
                rows = len(decode_predict(frame.body))
                found.append(encode_answers(frame.request_id, [ANSWER] * rows, compute_us=100))
        return found

    def receive(self, data: bytes) -> None:
        assert self.replica is not None
        for frame in self._decoder.feed(data):
            self.replica.on_frame(frame)

    def close(self) -> None:
        """Its engine lets go of it at the end."""

    abort = close


class WebProcess:
    """The prediction path of a web process, and connections to ask it over."""

    def __init__(self) -> None:
        self._engine = Engine(EngineSpec())
        router = Router(connected=self._engine.connected)
        router.apply(snapshot())
        self._engine.expect(router.expected_versions())
        self._replicas = [self._played(version) for version in router.snapshot.versions.values()]
        redis = Redis(unix_socket_path="/nonexistent")  # nobody starts what would ask it
        processor = QueryProcessor(
            engine=self._engine,
            router=router,
            store=SelectionStore(redis),
            outputs=OutputStore(redis),
            due=DueReceipts(redis),
            signer=ReceiptSigner(b"guard"),
            metrics=Metrics(process_id="guard", pid=0),
        )
        state = {STATE_KEY: DirectPredictions(processor, max_body_bytes=1 << 20)}
        config = uvicorn.Config(echo.application, log_config=None, interface="asgi3")
        self._transports = [Transport() for _ in range(IN_FLIGHT)]
        for transport in self._transports:
            protocol = FrontProtocol(config, ServerState(), state)
            transport.protocol = protocol
            protocol.connection_made(transport)  # type: ignore[arg-type]

    def _played(self, version: VersionSpec) -> PlayedReplica:
        connection = PlayedReplica()
        connection.replica = self._engine.add_replica(hello_of(version), connection)
        return connection

    async def seconds(self, requests: Sequence[bytes]) -> float:
        """Return the CPU seconds of answering these requests, without what is played."""
        answered = sum(transport.responses for transport in self._transports) + len(requests)
        begun = process_time()
        for transport, request in zip(self._transports, requests, strict=False):
            transport.protocol.data_received(request)
        spent = process_time() - begun
        while sum(transport.responses for transport in self._transports) < answered:
            begun = process_time()
            await asyncio.sleep(0)
            spent += process_time() - begun
            for replica in self._replicas:
                for data in replica.answers():
                    begun = process_time()
                    replica.receive(data)
                    spent += process_time() - begun
        return spent

    def close(self) -> None:
        self._engine.close()
        for transport in self._transports:
            transport.protocol.connection_lost(None)


def snapshot() -> Snapshot:
    """A registry of five models, and of an application with one of them and one with all."""
    numbers = range(1, 6)
    one = application_spec(
        id=1, name=ONE, policy="static", slo_ms=OBJECTIVE_MS, routes=routes_to(1)
    )
    five = application_spec(id=2, name=FIVE, slo_ms=OBJECTIVE_MS, routes=routes_to(*numbers))
    versions = [version_spec(number) for number in numbers]
    return snapshot_of(one, five, versions=versions, keys=[key_spec(KEY)])


def requests(name: str, *, new: bool) -> Iterator[bytes]:
    """POSTs of enlarged digits without end; each a `new` one, or a few in turn."""
    images = enlarged(held_out()[0])[:IN_FLIGHT]
    bodies = [body(image, decimals=5) for image in images]
    numbers = count() if new else cycle([0])
    for number, text in zip(numbers, cycle(bodies), strict=False):
        yield post_request(
            host="guard",
            port=80,
            path=f"/api/v1/applications/{name}/predict",
            api_key=KEY,
            body=text.replace(COUNTER, f"0.{number:09d}", 1).encode(),
        )


async def echo_seconds(bodies: Sequence[bytes]) -> float:
    """Return the CPU seconds of echoing bodies through a bare ASGI application."""

    async def send(message: Any) -> None:
        pass

    begun = process_time()
    for text in bodies:
        message = {"type": "http.request", "body": text, "more_body": False}

        async def receive(message: Any = message) -> Any:
            return message

        await echo.application({"type": "http", "path": "/"}, receive, send)
    return process_time() - begun


class Costs(msgspec.Struct, frozen=True, kw_only=True):
    """What a query costs, in echoes, by kind."""

    echoes: dict[str, float]


def measure(session: Session) -> Costs:
    rounds = session.options.rounds
    return Costs(echoes=run_on_uvloop(costs(rounds=rounds, queries=QUERIES)))


async def costs(*, rounds: int, queries: int) -> dict[str, float]:
    web = WebProcess()
    kinds = {
        "hits": requests(ONE, new=False),
        "misses": requests(ONE, new=True),
        "hits of 5 models": requests(FIVE, new=False),
        "misses of 5 models": requests(FIVE, new=True),
    }
    least: dict[str, float] = {}

    def note(kind: str, seconds: float) -> None:
        least[kind] = min(seconds, least.get(kind, seconds))

    for _ in range(rounds * (queries // IN_FLIGHT)):
        for kind, source in kinds.items():
            asked = [next(source) for _ in range(IN_FLIGHT)]
            note(kind, await web.seconds(asked))
            bodies = [one.partition(b"\r\n\r\n")[2] for one in asked]
            note("echo", await echo_seconds(bodies))
    web.close()
    unit = least.pop("echo")
    return {kind: seconds / unit for kind, seconds in least.items()}


def targets(result: Costs) -> list[Target]:
    return [
        at_most(f"CPU time of {kind}, in echoes", seen, BOUNDS[kind])
        for kind, seen in result.echoes.items()
    ]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rounds", type=int, default=ROUNDS)


STUDY = Study(
    name="bench-guard",
    module="guard",
    about=__doc__,
    experiments=(
        Experiment(
            name="guard",
            title="The CPU time of a query",
            workload=f"{IN_FLIGHT} queries at a time, hits and misses of one model and of five",
            systems=("the path of a web process, without sockets", "an ASGI echo"),
            result=Costs,
            measure=measure,
            targets=targets,
        ),
    ),
    needs_wrk=False,
    strict=True,
    options=options,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
