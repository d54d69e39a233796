"""`make bench-guard`: has a query become dearer? Answered in half a minute, in one process.

The whole path of a query but sockets and models; its CPU time is told as a multiple of that of a
bare ASGI echo, turn and turn about. Ends with 1 where a multiple is above its bound.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count, cycle
from time import process_time
from typing import Any

from redis.asyncio import Redis

from benchmarks import echo
from benchmarks.experiment import Experiment, Session, run_on_uvloop
from benchmarks.frames import Frame, Records
from benchmarks.generator import post_request
from benchmarks.linear import body, enlarged
from benchmarks.study import Study
from benchmarks.telling import Target
from benchmarks.wrk import COUNTER
from core.specs import Snapshot
from registry.demo.digits import held_out
from selection.feedback.default_rewards.due_receipts import DueReceipts
from selection.receipts import ReceiptSigner
from selection.store.large_outputs import OutputStore
from selection.store.selection_store import SelectionStore
from serving.capture.sampling import CapturedQueries
from serving.endpoints.predictions.direct_predictions import DirectPredictions
from serving.engine.engine import Engine, EngineSpec
from serving.http.connection import HttpConnection
from serving.http.connections import Connections
from serving.metrics.published import Metrics
from serving.query.processor import QueryProcessor
from serving.query.query import QueryResources
from serving.query.rollouts.gate_counts import GateCounts
from serving.query.rollouts.shadows import Shadows
from serving.query.routing import Router
from serving.rpc.frames.codec import Answer, AnswerStatus, encode_answers
from serving.testing.replica import PlayedReplica
from serving.testing.specs import application_spec, key_spec, routes_to, snapshot_of, version_spec

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


class LateReplica(PlayedReplica):
    """Looks at what it is sent only when it is to answer: what is played costs nothing before."""

    def __init__(self) -> None:
        super().__init__()
        self._sent: list[bytes] = []

    def send(self, data: bytes) -> None:
        self._sent.append(data)

    def answer_all(self) -> float:
        """Return the CPU seconds of the engine's part in it."""
        sent, self._sent, spent = self._sent, [], 0.0
        for data in sent:
            super().send(data)
        while self.batches:
            request, inputs = self.batches.pop(0)
            answers = encode_answers(request, [ANSWER] * len(inputs), compute_us=100)
            begun = process_time()
            self.receive(answers)
            spent += process_time() - begun
        return spent


class WebProcess:
    """The prediction path of a web process, and connections to ask it over."""

    def __init__(self) -> None:
        self._engine = Engine(EngineSpec())
        router = Router(connected=self._engine.connected)
        router.apply(snapshot())
        self._engine.expect(router.expected_versions())
        self._replicas = [LateReplica() for _ in router.snapshot.versions]
        for replica, version in zip(self._replicas, router.snapshot.versions.values(), strict=True):
            replica.connect_to(self._engine, version=version)
        redis = Redis(unix_socket_path="/nonexistent")  # nobody starts what would ask it
        processor = QueryProcessor(
            QueryResources(
                engine=self._engine,
                router=router,
                store=SelectionStore(redis),
                outputs=OutputStore(redis),
                due=DueReceipts(redis),
                signer=ReceiptSigner(b"guard"),
                metrics=Metrics(process_id="guard", pid=0),
                captured=CapturedQueries(redis),
                gates=GateCounts(redis),
                shadows=Shadows(
                    engine=self._engine, outputs=OutputStore(redis), gates=GateCounts(redis)
                ),
            )
        )
        connections = Connections(
            echo.application,
            refusals=processor.resources.metrics.refusals,
            direct=DirectPredictions(processor, max_body_bytes=1 << 20),
        )
        self._transports = [Transport() for _ in range(IN_FLIGHT)]
        for transport in self._transports:
            protocol = HttpConnection(connections)
            transport.protocol = protocol
            protocol.connection_made(transport)  # type: ignore[arg-type]

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
                spent += replica.answer_all()
        return spent

    def close(self) -> None:
        self._engine.close()
        for transport in self._transports:
            transport.protocol.connection_lost(None)


def snapshot() -> Snapshot:
    """A registry of five models, and of an application with one of them and one with all."""
    numbers = range(1, 6)
    long = {"slo_ms": OBJECTIVE_MS}
    one = application_spec(id=1, name=ONE, policy="static", routes=routes_to(1), **long)
    five = application_spec(id=2, name=FIVE, routes=routes_to(*numbers), **long)
    versions = [version_spec(number) for number in numbers]
    return snapshot_of(one, five, versions=versions, keys=[key_spec(KEY)])


def requests(name: str, *, new: bool) -> Iterator[bytes]:
    """POSTs of enlarged digits without end; each a `new` one, or a few in turn."""
    images = enlarged(held_out()[0])[:IN_FLIGHT]
    bodies = [body(image, decimals=5) for image in images]
    numbers = count() if new else cycle([0])
    for number, text in zip(numbers, cycle(bodies), strict=False):
        given = text.replace(COUNTER, f"0.{number:09d}", 1).encode()
        path = f"/api/v1/applications/{name}/predict"
        yield post_request(host="guard", port=80, path=path, api_key=KEY, body=given)


async def echo_seconds(bodies: Sequence[bytes]) -> float:
    """Return the CPU seconds of echoing bodies through a bare ASGI application."""
    bodies = list(bodies)

    async def receive() -> Any:
        return {"type": "http.request", "body": bodies.pop(), "more_body": False}

    async def send(message: Any) -> None:
        pass

    begun = process_time()
    for _ in range(len(bodies)):
        await echo.application({"type": "http", "path": "/"}, receive, send)
    return process_time() - begun


def measure(session: Session) -> Records:
    seen = run_on_uvloop(costs(rounds=ROUNDS, queries=QUERIES))
    return [{"kind": kind, "echoes": echoes} for kind, echoes in seen.items()]


async def costs(*, rounds: int, queries: int) -> dict[str, float]:
    web = WebProcess()
    kinds = {
        "hits": requests(ONE, new=False),
        "misses": requests(ONE, new=True),
        "hits of 5 models": requests(FIVE, new=False),
        "misses of 5 models": requests(FIVE, new=True),
    }
    seen: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds * (queries // IN_FLIGHT)):
        for kind, source in kinds.items():
            asked = [next(source) for _ in range(IN_FLIGHT)]
            seen[kind].append(await web.seconds(asked))
            bodies = [one.partition(b"\r\n\r\n")[2] for one in asked]
            seen["echo"].append(await echo_seconds(bodies))
    web.close()
    return {kind: min(seen[kind]) / min(seen["echo"]) for kind in kinds}


def targets(result: Frame) -> list[Target]:
    return [
        Target(f"CPU time of {kind}, in echoes", seen, f"≤ {BOUNDS[kind]:g}")
        for kind, seen in result[["kind", "echoes"]].itertuples(index=False)
    ]


STUDY = Study.of(
    Experiment(
        name="guard",
        title="The CPU time of a query",
        workload=f"{IN_FLIGHT} queries at a time, hits and misses of one model and of five",
        systems=("the path of a web process, without sockets", "an ASGI echo"),
        measure=measure,
        targets=targets,
    ),
    about=__doc__,
    strict=True,
)

if __name__ == "__main__":
    raise SystemExit(STUDY.main())
