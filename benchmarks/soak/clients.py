"""Clients of every kind that ask without pause until told to stop, as a process of its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from time import monotonic
from typing import Any

import msgspec

from benchmarks.generator import HEADER_END, head_of, post_request

# Applications of the soak; the ensemble is the demo's own.
SINGLE, ENSEMBLE, LEARNING = "soak-single", "digits", "soak-taught"
# What can be wrong. An error is an answer that should not have been, or none at all; broken is a
# connection that went away; refused is feedback that was to be sent again, and was.
ERROR, BROKEN, REFUSED = "error", "broken", "refused"
# What is counted of each kind of clients. A batch of inputs is one query.
COUNTED = ("queries", "defaults", "late", "errors", "broken")

PROGRESS_SECONDS = 1.0
# No answer for so long is an error: nobody would have waited.
GIVEN_UP_SECONDS = 30.0
# After a broken connection or a refusal, before the next attempt.
PAUSE_SECONDS = 0.05
# Feedback is sent again until it is acknowledged, at most so long.
ACKNOWLEDGED_SECONDS = 120.0
BATCH, CONTEXTS = 20, 500
UNAVAILABLE = 503


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """`images` are JSON numbers without the first one, which is where queries are made unique.
    `clients` says how many clients of each kind ask at once.
    """

    host: str
    port: int
    api_key: str
    images: list[str]
    labels: list[int]
    objectives_ms: dict[str, float]
    clients: dict[str, int]


class Answer(msgspec.Struct, frozen=True):
    """What the load looks at in an answer of any kind."""

    query_id: str = ""
    default: bool = False
    latency_ms: float = 0.0
    error: str = ""
    accepted: int = 0
    duplicates: int = 0
    batch_predictions: list[Answer] = []


decode_answer = msgspec.json.Decoder(Answer).decode
# Totals until now: when (on the monotonic clock, the same in all processes), tallies by kind of
# client, feedback acknowledged; and the troubles since the report before.
Progress = dict[str, Any]


class Load:
    """The clients, and what became of all that they asked."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tallies = {kind: Counter(dict.fromkeys(COUNTED, 0)) for kind in plan.clients}
        self._troubles: list[dict[str, Any]] = []
        self._acknowledged = 0
        self._numbers = itertools.count(1)
        self._stopping = False
        known = [b'{"input":[0,%s]}' % image.encode() for image in plan.images]
        # Each new query differs from all others; `hits` are those that were asked before.
        self._questions: dict[str, tuple[str, Iterable[bytes]]] = {
            "single": (SINGLE, self._new()),
            "ensemble": (ENSEMBLE, self._new()),
            "hits": (ENSEMBLE, itertools.cycle(known)),
            "batches": (SINGLE, self._new_batches()),
        }

    def stop(self) -> None:
        """Ask nothing new; what is open is brought to its end."""
        self._stopping = True

    async def run(self, *, report: Callable[[Progress], None]) -> None:
        """Ask until stopped, reporting each second and once more at the end."""
        clients = asyncio.gather(
            *(
                (self._feedback if kind == "feedback" else self._asking)(kind)
                for kind, n in self._plan.clients.items()
                for _ in range(n)
            )
        )
        while not clients.done():
            await asyncio.wait([clients], timeout=PROGRESS_SECONDS)
            troubles, self._troubles = self._troubles, []
            tallies = {kind: dict(tally) for kind, tally in self._tallies.items()}
            told = {"acknowledged": self._acknowledged, "tallies": tallies, "troubles": troubles}
            report({"at": monotonic()} | told)
        clients.result()

    async def _asking(self, kind: str) -> None:
        """Ask what clients of that kind do, one question after the other."""
        application, bodies = self._questions[kind]
        http = _Http(self._plan)
        for body in bodies:
            if self._stopping:
                break
            await self._ask(http, kind=kind, application=application, body=body)
        http.close()

    async def _feedback(self, kind: str) -> None:
        """Ask, and tell the right answer until it is acknowledged."""
        http = _Http(self._plan)
        while not self._stopping:
            number = next(self._numbers)
            context = f"soak-{number % CONTEXTS}"
            body = f'{{"input":{self._input(number)},"context":"{context}"}}'.encode()
            for answer in await self._ask(http, kind=kind, application=LEARNING, body=body):
                label = self._plan.labels[number % len(self._plan.labels)]
                body = f'{{"query_id":"{answer.query_id}","label":{label}}}'.encode()
                await self._teach(http, kind=kind, body=body)
        http.close()

    def _new(self) -> Iterator[bytes]:
        while True:
            yield f'{{"input":{self._input(next(self._numbers))}}}'.encode()

    def _new_batches(self) -> Iterator[bytes]:
        while True:
            inputs = ",".join(self._input(next(self._numbers)) for _ in range(BATCH))
            yield f'{{"input_batch":[{inputs}]}}'.encode()

    def _input(self, number: int) -> str:
        """An image with a first pixel that no other query has, and that is white all the same."""
        images = self._plan.images
        return f"[{number * 1e-9:.9f},{images[number % len(images)]}]"

    async def _ask(self, http: _Http, *, kind: str, application: str, body: bytes) -> list[Answer]:
        """Return the answers, one for each input; nothing where it failed, which is counted."""
        self._tallies[kind]["queries"] += 1
        try:
            status, text = await http.post(f"{application}/predict", body=body)
        except TimeoutError:
            await self._trouble(kind, ERROR, f"no answer within {GIVEN_UP_SECONDS:.0f} s")
            return []
        except OSError as error:
            await self._trouble(kind, BROKEN, str(error) or type(error).__name__)
            return []
        if status != 200:
            await self._trouble(kind, ERROR, f"{status}: {_start(text)}")
            return []
        answer = decode_answer(text)
        answers = answer.batch_predictions or [answer]
        for one in answers:
            await self._count(one, kind=kind, application=application)
        return answers

    async def _count(self, answer: Answer, *, kind: str, application: str) -> None:
        if answer.error:
            await self._trouble(kind, ERROR, answer.error)
        self._tallies[kind]["defaults"] += answer.default
        late = answer.latency_ms > self._plan.objectives_ms[application]
        self._tallies[kind]["late"] += late

    async def _teach(self, http: _Http, *, kind: str, body: bytes) -> None:
        deadline = monotonic() + ACKNOWLEDGED_SECONDS
        unsure = False
        while monotonic() < deadline:
            try:
                status, text = await http.post(f"{LEARNING}/feedback", body=body)
            except OSError as error:
                sort, what = BROKEN, str(error) or type(error).__name__
            else:
                sort, what = REFUSED, _start(text)
                if status != UNAVAILABLE:
                    answer = decode_answer(text)
                    if answer.accepted or (unsure and answer.duplicates):
                        self._acknowledged += 1
                    else:
                        await self._trouble(kind, ERROR, f"feedback: {status}: {what}")
                    return
            # Counted, and then the connection broke before it said so: that happens.
            unsure = True
            await self._trouble(kind, sort, what)
        await self._trouble(kind, ERROR, "feedback that nobody acknowledged")

    async def _trouble(self, kind: str, sort: str, what: str) -> None:
        """Note what went wrong; before the next attempt there is a pause."""
        tally = self._tallies[kind]
        tally["errors"] += sort == ERROR
        tally["broken"] += sort == BROKEN
        self._troubles.append({"at": monotonic(), "client": kind, "sort": sort, "what": what})
        if sort != ERROR:
            await asyncio.sleep(PAUSE_SECONDS)


def _start(text: bytes) -> str:
    return text[:200].decode(errors="replace")


class _Http:
    """A client with one connection, opened anew where it broke."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, path: str, *, body: bytes) -> tuple[int, bytes]:
        """Return status and body; OSError where the connection breaks, or it takes too long."""
        plan = self._plan
        request = post_request(
            host=plan.host, port=plan.port, path=f"/api/v1/applications/{path}",
            api_key=plan.api_key, body=body,
        )  # fmt: skip
        try:
            async with asyncio.timeout(GIVEN_UP_SECONDS):
                if self._streams is None:
                    self._streams = await asyncio.open_connection(plan.host, plan.port)
                reader, writer = self._streams
                writer.write(request)
                status, size = head_of(await reader.readuntil(HEADER_END))
                return status, await reader.readexactly(size)
        except EOFError as error:
            self.close()
            raise ConnectionError("the server hung up") from error
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _drive(plan: Plan) -> None:
    load = Load(plan)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stop)
    await load.run(report=lambda told: print(json.dumps(told), flush=True))


if __name__ == "__main__":
    asyncio.run(_drive(msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=Plan)))
