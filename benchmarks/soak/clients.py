"""Clients of every kind that ask without pause until they are told to stop.

`python -m benchmarks.soak.clients` reads a plan from standard input and writes a line of progress
each second to standard output, until SIGTERM: a process of its own, so that it takes no time from
the server.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from time import monotonic

import msgspec
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from benchmarks.connection import Connection, post_request
from benchmarks.soak.messages import (
    ENSEMBLE,
    LEARNING,
    SINGLE,
    Answer,
    Plan,
    Progress,
    Sort,
    Tally,
    Trouble,
    decode_answer,
)

PROGRESS_SECONDS = 1.0
# No answer for so long is an error: nobody would have waited.
GIVEN_UP_SECONDS = 30.0
# After a broken connection or a refusal, before the next attempt.
PAUSE_SECONDS = 0.05
# Feedback is sent again until it is acknowledged, at most so long.
ACKNOWLEDGED_SECONDS = 120.0
BATCH = 20
IN_FLIGHT = 8
CONTEXTS = 500
UNAVAILABLE = 503


class Load:
    """The clients, and what became of all that they asked."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._tallies = {kind: Tally() for kind in plan.clients}
        self._troubles: list[Trouble] = []
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
        special = {"feedback": self._feedback, "websocket": self._websocket}
        reporting = asyncio.create_task(self._report(report))
        clients = [
            special.get(kind, self._asking)(kind)
            for kind, n in self._plan.clients.items()
            for _ in range(n)
        ]
        await asyncio.gather(*clients)
        reporting.cancel()
        with suppress(asyncio.CancelledError):
            await reporting
        report(self._progress())

    async def _report(self, report: Callable[[Progress], None]) -> None:
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            report(self._progress())

    def _progress(self) -> Progress:
        troubles, self._troubles = self._troubles, []
        return Progress(
            at=monotonic(),
            tallies=self._tallies,
            acknowledged=self._acknowledged,
            troubles=troubles,
        )

    # --- the kinds of clients -----------------------------------------------------------------

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
                await self._teach(http, kind=kind, receipt=answer.query_id, label=label)
        http.close()

    async def _websocket(self, kind: str) -> None:
        """A few messages in flight on one socket; a new socket where it breaks."""
        plan = self._plan
        url = f"ws://{plan.host}:{plan.port}/ws/v1/applications/{ENSEMBLE}"
        key = {"Authorization": f"Api-Key {plan.api_key}"}
        while not self._stopping:
            try:
                async with connect(url, additional_headers=key, compression=None) as socket:
                    while not self._stopping:
                        await self._exchange(socket, kind=kind)
            except (OSError, WebSocketException) as error:
                await self._broken(kind, error=error)

    # --- a question ---------------------------------------------------------------------------

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
        tally = self._tallies[kind]
        tally.queries += 1
        try:
            status, text = await http.post(f"{application}/predict", body=body)
        except TimeoutError:
            self._error(kind, what=f"no answer within {GIVEN_UP_SECONDS:.0f} s")
            return []
        except OSError as error:
            await self._broken(kind, error=error)
            return []
        if status != 200:
            self._error(kind, what=f"{status}: {text[:200].decode(errors='replace')}")
            return []
        answer = decode_answer(text)
        answers = answer.batch_predictions or [answer]
        for one in answers:
            self._count(one, kind=kind, application=application)
        return answers

    def _count(self, answer: Answer, *, kind: str, application: str) -> None:
        tally = self._tallies[kind]
        if answer.error:
            self._error(kind, what=answer.error)
        tally.defaults += answer.default
        tally.late += answer.latency_ms > self._plan.objectives_ms[application]

    async def _exchange(self, socket: ClientConnection, *, kind: str) -> None:
        asked = [next(self._numbers) for _ in range(IN_FLIGHT)]
        for number in asked:
            self._tallies[kind].queries += 1
            await socket.send(f'{{"id":{number},"input":{self._input(number)}}}')
        missing = set(asked)
        try:
            while missing:
                async with asyncio.timeout(GIVEN_UP_SECONDS):
                    answer = decode_answer(await socket.recv())
                missing.discard(answer.id)
                self._count(answer, kind=kind, application=ENSEMBLE)
        except TimeoutError:
            self._error(kind, what=f"{len(missing)} messages without an answer")

    async def _teach(self, http: _Http, *, kind: str, receipt: str, label: int) -> None:
        body = f'{{"query_id":"{receipt}","label":{label}}}'.encode()
        deadline = monotonic() + ACKNOWLEDGED_SECONDS
        unsure = False
        while monotonic() < deadline:
            try:
                status, text = await http.post(f"{LEARNING}/feedback", body=body)
            except (OSError, TimeoutError) as error:
                await self._broken(kind, error=error)
                unsure = True
                continue
            if status == UNAVAILABLE:
                self._trouble(kind, sort=Sort.REFUSED, what=text[:200].decode(errors="replace"))
                await asyncio.sleep(PAUSE_SECONDS)
                # Counted, and then the connection to Redis broke before it said so: that happens.
                unsure = True
                continue
            answer = decode_answer(text)
            if answer.accepted or (unsure and answer.duplicates):
                self._acknowledged += 1
            else:
                self._error(kind, what=f"feedback: {status}: {text[:200].decode(errors='replace')}")
            return
        self._error(kind, what="feedback that nobody acknowledged")

    # --- what went wrong ----------------------------------------------------------------------

    def _error(self, kind: str, *, what: str) -> None:
        self._tallies[kind].errors += 1
        self._trouble(kind, sort=Sort.ERROR, what=what)

    async def _broken(self, kind: str, *, error: Exception) -> None:
        self._tallies[kind].broken += 1
        self._trouble(kind, sort=Sort.BROKEN, what=str(error) or type(error).__name__)
        await asyncio.sleep(PAUSE_SECONDS)

    def _trouble(self, kind: str, *, sort: Sort, what: str) -> None:
        self._troubles.append(Trouble(at=monotonic(), kind=kind, sort=sort, what=what))


class _Http:
    """A client with one connection, opened anew where it broke."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._connection: Connection | None = None

    async def post(self, path: str, *, body: bytes) -> tuple[int, bytes]:
        plan = self._plan
        request = post_request(
            host=plan.host,
            port=plan.port,
            path=f"/api/v1/applications/{path}",
            api_key=plan.api_key,
            body=body,
        )
        try:
            async with asyncio.timeout(GIVEN_UP_SECONDS):
                if self._connection is None:
                    self._connection = await Connection.open(plan.host, port=plan.port)
                return await self._connection.ask(request)
        except (OSError, TimeoutError):
            self.close()
            raise

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


async def _drive(plan: Plan) -> None:
    load = Load(plan)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, load.stop)
    await load.run(report=_write)


def _write(progress: Progress) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(progress) + b"\n")
    sys.stdout.buffer.flush()


def main() -> None:
    plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    asyncio.run(_drive(plan))


if __name__ == "__main__":
    main()
