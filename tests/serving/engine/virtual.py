"""The real engine in virtual time: only its clock, its replicas and its callers are simulated."""

from __future__ import annotations

import asyncio
import functools
import random
import selectors
import sys
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple
from unittest.mock import patch

from registry.specs import BatchingSpec
from serving.engine.engine import Engine, EngineSpec, VersionSettings
from serving.engine.gather import ORDINARY, CallOptions, Gather
from serving.engine.outcome import Status
from tests.serving.engine.doubles import VERSION, FakeConnection, connect
from tests.serving.engine.simulator import Container

# What the network service keeps of an objective for itself.
MARGIN_S = 0.002
# Callers that are refused ask again after this long: at once, no time would ever pass.
REFUSED_PAUSE_S = 0.001
AUTOMATIC = BatchingSpec()


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: its clock jumps to where the wait would have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("all wait and no timer is set: nothing will ever happen")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only where everybody waits for it, and then at once."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


@contextmanager
def _engine_follows(loop: VirtualLoop) -> Iterator[None]:
    """Give every module of the engine the loop's clock, and its draws a seed."""
    engine = [module for name, module in sys.modules.items() if name.startswith("serving.engine")]
    timed = [module for module in engine if vars(module).get("monotonic") is monotonic]
    patches = [patch.object(module, "monotonic", loop.time) for module in timed]
    patches.append(patch("serving.engine.pool.random", random.Random(1).random))
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


def in_virtual_time(scenario: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a test of a coroutine function that has the loop, and the engine, in virtual time.

    It goes the same way every time, however busy the machine is.
    """

    @functools.wraps(scenario)
    def test(*args: Any, **kwargs: Any) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner, _engine_follows(runner.get_loop()):
            runner.run(scenario(*args, **kwargs))

    return test


class VirtualReplica(FakeConnection):
    """Answers one batch after the other, each in its `container`'s time, which may be changed."""

    def __init__(self, container: Container, *, chance: random.Random) -> None:
        super().__init__()
        self.container = container
        self.rows = 0
        self.busy_seconds = 0.0
        self.batch_seconds: list[float] = []
        self._chance = chance
        self._hangs = False
        self._work: asyncio.TimerHandle | None = None

    def send(self, data: bytes) -> None:
        super().send(data)
        self._begin()

    def hang(self) -> None:
        """Answer nothing any more, and stay connected."""
        self._hangs = True
        self._stop()

    def die(self) -> None:
        self._stop()
        super().die()

    def abort(self) -> None:
        self._stop()
        super().abort()

    def _stop(self) -> None:
        if self._work is not None:
            self._work.cancel()
            self._work = None

    def _begin(self) -> None:
        if self._work is not None or self._hangs or not self.batches:
            return
        rows = self.sizes[0]
        seconds = self.container.seconds(rows, chance=self._chance)
        self.rows += rows
        self.busy_seconds += seconds
        self.batch_seconds.append(seconds)
        self._work = asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self._work = None
        self.answer()
        self._begin()


class Reply(NamedTuple):
    """What a caller got, when it had asked, and after how many seconds; None was no outcome."""

    status: Status | None
    asked_at: float
    seconds: float


@dataclass(slots=True)
class Seen:
    """What callers got within `elapsed` seconds."""

    objective: float
    elapsed: float = 0.0
    replies: list[Reply] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.replies)

    @property
    def in_time(self) -> list[Reply]:
        """The good answers within the objective."""
        return [r for r in self.replies if r.status == Status.OK and r.seconds <= self.objective]

    @property
    def goodput(self) -> float:
        """Answers within the objective a second."""
        return len(self.in_time) / self.elapsed

    @property
    def share_in_time(self) -> float:
        return len(self.in_time) / len(self.replies)

    def seconds_of(self, *statuses: Status | None) -> list[float]:
        """How long those took that ended so, in order of size."""
        return sorted(r.seconds for r in self.replies if r.status in statuses)

    def count(self, *statuses: Status | None) -> int:
        return sum(r.status in statuses for r in self.replies)

    def since(self, when: float) -> Seen:
        """Only what was asked from then on."""
        replies = [reply for reply in self.replies if reply.asked_at >= when]
        last = max((reply.asked_at for reply in replies), default=when)
        return Seen(self.objective, last - when, replies)


class VirtualService:
    """One model version with an objective, its replicas and its callers."""

    def __init__(
        self,
        *containers: Container,
        objective: float,
        batching: BatchingSpec = AUTOMATIC,
        seed: int = 1,
    ) -> None:
        self.objective = objective
        self.answer_within = objective - min(MARGIN_S, objective / 5)
        self.engine = Engine(EngineSpec())
        self.engine.expect([VERSION.id])
        settings = VersionSettings(batching=batching, answer_within_s=self.answer_within)
        self.engine.configure({VERSION.id: settings})
        self.chance = random.Random(seed)
        self.replicas: list[VirtualReplica] = []
        self.longest_queue = 0
        self._asked = 0
        for container in containers:
            self.start(container)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def stats(self):
        return self.engine.stats[VERSION.id]

    def start(self, container: Container) -> VirtualReplica:
        """Connect one more replica."""
        replica = VirtualReplica(container, chance=self.chance)
        connect(self.engine, name=f"r{len(self.replicas)}", connection=replica)
        self.replicas.append(replica)
        return replica

    async def ask(self, *, options: CallOptions = ORDINARY) -> Reply:
        """Ask something new, and wait for as long as a caller would."""
        self._asked += 1
        asked_at = self.now
        gather = Gather(calls=1, deadlines=self.engine.deadlines)
        self.engine.ask(
            VERSION,
            key=None,
            input=b"%d" % self._asked,
            deadline=asked_at + self.answer_within,
            gather=gather,
            index=0,
            options=options,
        )
        self.longest_queue = max(self.longest_queue, self.engine.waiting(VERSION.id))
        await gather.settled(seconds=self.answer_within)
        outcome = gather.outcomes[0]
        status = None if outcome is None else Status(outcome.status)
        return Reply(status, asked_at, self.now - asked_at)

    async def closed(
        self, clients: int, *, seconds: float, think: float = 0.0, options: CallOptions = ORDINARY
    ) -> Seen:
        """Each of the `clients` asks again as soon as it has its answer and `think`ed."""
        seen = Seen(self.objective)
        begun = self.now

        async def client() -> None:
            while self.now < begun + seconds:
                reply = await self.ask(options=options)
                seen.replies.append(reply)
                pause = self.chance.expovariate(1.0 / think) if think else 0.0
                await asyncio.sleep(pause if reply.status == Status.OK else REFUSED_PAUSE_S)

        await asyncio.gather(*(client() for _ in range(clients)))
        seen.elapsed = self.now - begun
        return seen

    async def open(self, rate: float, *, seconds: float, options: CallOptions = ORDINARY) -> Seen:
        """Callers arrive at random, `rate` a second, however long the others wait."""
        seen = Seen(self.objective, seconds)
        end = self.now + seconds

        async def caller() -> None:
            seen.replies.append(await self.ask(options=options))

        async with asyncio.TaskGroup() as callers:
            while self.now < end:
                callers.create_task(caller())
                await asyncio.sleep(self.chance.expovariate(rate))
        return seen

    async def burst(self, queries: int, *, options: CallOptions = ORDINARY) -> Seen:
        """As many callers at once."""
        begun = self.now
        replies = await asyncio.gather(*(self.ask(options=options) for _ in range(queries)))
        return Seen(self.objective, self.now - begun, list(replies))

    async def capacity(self, *, seconds: float = 2.0) -> float:
        """Warm up; return the most answers in time a second that any number of clients gets.

        So many clients as are answered by two full batches keep a replica busy and in time.
        """
        await self.closed(8 * len(self.replicas), seconds=1.0)
        best = 0.0
        for batches in (1.5, 2.0):
            seconds_of_batch = self.answer_within * 0.4
            rows = sum(
                max(1, int((seconds_of_batch - r.container.fixed) / r.container.per_row))
                for r in self.replicas
            )
            clients = max(2, int(batches * rows))
            await self.closed(clients, seconds=seconds / 2)
            best = max(best, (await self.closed(clients, seconds=seconds)).goodput)
        return best
