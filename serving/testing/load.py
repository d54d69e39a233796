"""The real engine in virtual time: only its clock, its replicas and its callers are simulated."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import NamedTuple

from core.specs import BatchingSpec
from serving.engine.engine import Engine, EngineSpec, VersionSettings
from serving.engine.gather import ORDINARY, CallOptions, Gather
from serving.engine.outcome import Status
from serving.engine.stats import VersionStats
from serving.query.budget import seconds_to_answer
from serving.testing.asking import TARGET, VERSION
from serving.testing.replica import PlayedReplica
from serving.testing.simulation import SimulatedModel

AUTOMATIC = BatchingSpec()


class VirtualReplica(PlayedReplica):
    """Answers one batch after the other, each in its `model`'s time, which may be changed."""

    def __init__(self, model: SimulatedModel, *, chance: random.Random) -> None:
        super().__init__()
        self.model = model
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
        seconds = self.model.seconds(rows, chance=self._chance)
        self.rows += rows
        self.busy_seconds += seconds
        self.batch_seconds.append(seconds)
        self._work = asyncio.get_running_loop().call_later(seconds, self._end)

    def _end(self) -> None:
        self._work = None
        self.answer()
        self._begin()


class CallerReply(NamedTuple):
    """A caller's outcome, when it asked, and the seconds until then; None was no outcome."""

    status: Status | None
    asked_at: float
    seconds: float


@dataclass(slots=True)
class Replies:
    """Outcomes of callers within `elapsed` seconds."""

    objective: float
    elapsed: float = 0.0
    replies: list[CallerReply] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.replies)

    @property
    def in_time(self) -> list[CallerReply]:
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
        """Return the seconds of replies that ended so, in order of size."""
        return sorted(r.seconds for r in self.replies if r.status in statuses)

    def count(self, *statuses: Status | None) -> int:
        return sum(r.status in statuses for r in self.replies)

    def since(self, when: float) -> Replies:
        """Only what was asked from then on."""
        replies = [reply for reply in self.replies if reply.asked_at >= when]
        last = max((reply.asked_at for reply in replies), default=when)
        return Replies(self.objective, last - when, replies)


class VirtualService:
    """One model version with an objective, its replicas and its callers."""

    def __init__(
        self,
        *models: SimulatedModel,
        objective: float,
        batching: BatchingSpec = AUTOMATIC,
        seed: int = 1,
    ) -> None:
        self.objective = objective
        self.answer_within = seconds_to_answer(1e3 * objective)
        self.chance = random.Random(seed)
        clock = asyncio.get_running_loop().time
        self.engine = Engine(EngineSpec(), clock=clock, draw=self.chance.random)
        self.engine.expect([VERSION.id])
        settings = VersionSettings(batching=batching, answer_within_s=self.answer_within)
        self.engine.configure({VERSION.id: settings})
        self.replicas: list[VirtualReplica] = []
        self.longest_queue = 0
        self._asked = 0
        for model in models:
            self.start(model)

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    @property
    def stats(self) -> VersionStats:
        return self.engine.stats[VERSION.id]

    def start(self, model: SimulatedModel) -> VirtualReplica:
        """Connect one more replica."""
        replica = VirtualReplica(model, chance=self.chance)
        replica.connect_to(self.engine, version=VERSION, name=f"r{len(self.replicas)}")
        self.replicas.append(replica)
        return replica

    async def ask(self, *, options: CallOptions = ORDINARY) -> CallerReply:
        """Ask something new, and wait for as long as a caller would."""
        self._asked += 1
        asked_at = self.now
        gather = Gather(calls=1)
        self.engine.ask(
            gather,
            [TARGET],
            input=b"%d" % self._asked,
            deadline=asked_at + self.answer_within,
            options=options,
        )
        self.longest_queue = max(self.longest_queue, self.engine.waiting(VERSION.id))
        await gather.settled(seconds=self.answer_within)
        outcome = gather.outcomes[0]
        status = None if outcome is None else Status(outcome.status)
        return CallerReply(status, asked_at, self.now - asked_at)

    async def closed(
        self, clients: int, *, seconds: float, think: float = 0.0, options: CallOptions = ORDINARY
    ) -> Replies:
        """Each of the `clients` asks again as soon as it has its answer and `think`ed."""
        seen = Replies(self.objective)
        begun = self.now

        async def client() -> None:
            while self.now < begun + seconds:
                reply = await self.ask(options=options)
                seen.replies.append(reply)
                pause = self.chance.expovariate(1.0 / think) if think else 0.0
                # One that is refused waits as well: at once, no time would ever pass.
                await asyncio.sleep(pause if reply.status == Status.OK else 0.001)

        await asyncio.gather(*(client() for _ in range(clients)))
        seen.elapsed = self.now - begun
        return seen

    async def open(
        self, rate: float, *, seconds: float, options: CallOptions = ORDINARY
    ) -> Replies:
        """Callers arrive at random, `rate` a second, however long the others wait."""
        seen = Replies(self.objective, seconds)
        end = self.now + seconds

        async def caller() -> None:
            seen.replies.append(await self.ask(options=options))

        async with asyncio.TaskGroup() as callers:
            while self.now < end:
                callers.create_task(caller())
                await asyncio.sleep(self.chance.expovariate(rate))
        return seen

    async def burst(self, queries: int, *, options: CallOptions = ORDINARY) -> Replies:
        """As many callers at once."""
        begun = self.now
        replies = await asyncio.gather(*(self.ask(options=options) for _ in range(queries)))
        return Replies(self.objective, self.now - begun, list(replies))

    async def capacity(self, *, seconds: float = 2.0) -> float:
        """Warm up; return the most answers in time a second, with clients for two full batches."""
        await self.closed(8 * len(self.replicas), seconds=1.0)
        best = 0.0
        for batches in (1.5, 2.0):
            seconds_of_batch = self.answer_within * 0.4
            rows = sum(
                max(1, int((seconds_of_batch - r.model.fixed) / r.model.per_row))
                for r in self.replicas
            )
            clients = max(2, int(batches * rows))
            await self.closed(clients, seconds=seconds / 2)
            best = max(best, (await self.closed(clients, seconds=seconds)).goodput)
        return best
