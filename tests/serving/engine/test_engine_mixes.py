"""Random mixes of all that can happen at once: every caller gets its own rows, nothing is left."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from core import compiled
from core.specs import BatchingSpec
from serving.engine.engine import Engine, EngineSpec, Target, VersionSettings
from serving.engine.gather import Call, CallOptions, Gather
from serving.engine.outcome import Outcome, Status
from serving.engine.stats import VersionStats
from serving.rpc.errors import ProtocolError
from serving.rpc.frames.codec import Answer, AnswerStatus, FrameDecoder, FrameType, encode_answers
from serving.testing import VERSION, PlayedReplica, teach, turn

VERSIONS = {n: replace(VERSION, id=n, version=str(n)) for n in (1, 2)}
CAPACITY = 15
IN_TIME = 60.0

OK, INVALID, FAILED = AnswerStatus.OK, AnswerStatus.INVALID_INPUT, AnswerStatus.MODEL_FAILED


def output(status: int, *, version: int, input: bytes) -> bytes:
    """What the model makes of an input: only its own caller may get it."""
    return b'"%d of %d to %b"' % (status, version, input)


class CountingEngine(Engine):
    """Counts how often each call was settled, and keeps all calls alive to tell them apart."""

    def __init__(self, spec: EngineSpec) -> None:
        super().__init__(spec)
        self.settled: Counter[Call] = Counter()

    def settle(self, stats: VersionStats, call: Call, outcome: Outcome) -> None:
        self.settled[call] += 1
        super().settle(stats, call, outcome)


class CountingQuestion(Gather):
    """Counts the outcomes that arrive for each arm."""

    def __init__(self, *, calls: int) -> None:
        super().__init__(calls=calls)
        self.arrivals = [0] * calls
        self.left = False

    def abandon(self) -> None:
        super().abandon()
        self.left = True

    def arrive(self, index: int, outcome: Outcome) -> None:
        self.arrivals[index] += 1
        super().arrive(index, outcome)


# What is compiled nobody can inherit from; it is told from outside alone.
COUNTS = not compiled.in_use()


class Witness(PlayedReplica):
    """A connection that looks at every batch as it is sent."""

    def __init__(self, mix: Mix, *, version: int) -> None:
        super().__init__()
        self.mix = mix
        self.version = version
        self.leaves = False

    def leave(self) -> None:
        """Ask to be drained; again, that breaks the protocol, and so ends the link."""
        try:
            self.ask_to_drain()
        except ProtocolError:
            assert self.leaves
            self.die()
        self.leaves = True

    def send(self, data: bytes) -> None:
        assert not self.closed
        assert self.writable
        super().send(data)
        (frame,) = FrameDecoder().feed(data)
        self.mix.saw(self.replica.batches[frame.request_id])


class Mix:
    """An engine, the applications that ask it and the replicas that come and go."""

    def __init__(self) -> None:
        spec = EngineSpec(cache_bytes=20_000, queue_capacity=CAPACITY)
        self.engine = CountingEngine(spec) if COUNTS else Engine(spec)
        self.engine.expect(VERSIONS)
        self.replicas: list[Witness] = []
        self.asked: list[tuple[bytes, tuple[int, ...], Gather]] = []
        # Questions whose callers were told to leave; one that counts knows whether it was left.
        self.gone: set[Gather] = set()
        self.callers: list[asyncio.Task[None]] = []
        self.latest: dict[bytes, float] = {}
        self.sent: Counter[Call] = Counter()

    # What may happen.

    def ask(self, number: int, arms: tuple[int, ...], seconds: float, options: CallOptions) -> None:
        """Ask `arms`; a caller waits for the answer, as long as nobody makes it leave."""
        # Past the cache nothing is shared, so that each input is asked only once.
        input = b"[%d]" % number if options.cached else b"[%d, %d]" % (number, len(self.asked))
        question = CountingQuestion if COUNTS else Gather
        gather = question(calls=len(arms))
        deadline = monotonic() + seconds
        self.latest[input] = max(deadline, self.latest.get(input, deadline))
        self.engine.ask(
            gather,
            [Target.of(VERSIONS[version]) for version in arms],
            input=input,
            deadline=deadline,
            options=options,
        )
        self.asked.append((input, arms, gather))
        self.callers.append(asyncio.create_task(gather.settled(seconds=seconds)))

    def ask_all(self, many: list[tuple[Any, ...]]) -> None:
        for _, *values in many:
            self.ask(*values)

    def leave(self, number: int) -> None:
        """Have a caller cancelled, as asyncio does it, or its question abandoned by hand."""
        if not self.asked:
            return
        place = number % len(self.asked)
        gather = self.asked[place][2]
        self.gone.add(gather)
        if number % 2:
            self.callers[place].cancel()
        else:
            gather.abandon()

    def join(self, version: int) -> None:
        made = Witness(self, version=version)
        made.connect_to(self.engine, version=VERSIONS[version], name=f"r{len(self.replicas)}")
        self.replicas.append(made)

    def answer(self, replica: Witness, statuses: list[AnswerStatus]) -> None:
        """Answer the oldest batch, its rows with these statuses in turn."""
        if replica.batches:
            request, inputs = replica.batches.pop(0)
            answers = [
                Answer(status, output(status, version=replica.version, input=input))
                for input, status in zip(inputs, statuses * len(inputs), strict=False)
            ]
            replica.receive(encode_answers(request, answers, compute_us=5))

    def answer_part(self, replica: Witness) -> None:
        """Answer the first row of the oldest batch, where that leaves others."""
        if replica.batches and replica.sizes[0] > 1:
            request, (first, *rest) = replica.batches[0]
            replica.batches[0] = (request, rest)
            answer = Answer(OK, output(OK, version=replica.version, input=first))
            replica.receive(
                encode_answers(request, [answer], compute_us=5, frame_type=FrameType.PART)
            )

    def garble(self, replica: Witness) -> None:
        """Answer a row too many: the protocol is broken, and so the link ends."""
        if replica.batches:
            request, inputs = replica.batches[0]
            answers = [Answer(OK, b"1")] * (len(inputs) + 1)
            try:
                replica.receive(encode_answers(request, answers, compute_us=5))
            except ProtocolError:
                replica.die()
            else:
                raise AssertionError("expected a protocol error")

    def slow_down(self, replica: Witness) -> None:
        """Be known to take so long that some of those with time enough are refused."""
        teach(replica, per_row=IN_TIME / 3)

    def configure(self, batching: BatchingSpec, answer_within_s: float) -> None:
        one = VersionSettings(batching=batching, answer_within_s=answer_within_s)
        self.engine.configure(dict.fromkeys(VERSIONS, one))

    # What must hold.

    def saw(self, batch: Any) -> None:
        for call in batch.calls:
            assert self.latest[call.input] > batch.sent_at
            self.sent[call] += 1
            # Twice behind others, or apart in ever smaller company.
            assert self.sent[call] <= 4

    def check_order(self) -> None:
        """A lane's calls lie in the order in which they are due, and none is due too late."""
        for replica in self.open:
            for lane in replica.replica.queue.lanes:
                assert [call.due for call in lane] == sorted(call.due for call in lane)
                assert all(call.due <= call.deadline for call in lane)

    async def finish(self) -> None:
        """Let everything come to its end."""
        self.configure(BatchingSpec(wait_ms=0.0), 0.05)
        self.engine.expect(VERSIONS)
        for version in VERSIONS:
            self.join(version)
        for _ in range(100):
            await turn()
            for replica in self.open:
                replica.unblock()
                while replica.batches:
                    self.answer(replica, [OK])
        self.engine.sweep()
        assert all(gather.answered or self.was_left(gather) for _, _, gather in self.asked)
        for caller in self.callers:
            caller.cancel()  # one whose question was abandoned is told nothing
        await asyncio.gather(*self.callers, return_exceptions=True)

    def was_left(self, gather: Gather) -> bool:
        return gather.left if isinstance(gather, CountingQuestion) else gather in self.gone

    @property
    def open(self) -> list[Witness]:
        return [replica for replica in self.replicas if not replica.closed]

    def check(self) -> None:
        for input, arms, gather in self.asked:
            if isinstance(gather, CountingQuestion):
                assert max(gather.arrivals) <= 1
                assert gather.arrivals == [1] * len(arms) or gather.left
            assert None not in gather.outcomes or self.was_left(gather)
            for version, outcome in zip(arms, gather.outcomes, strict=True):
                if outcome is not None and outcome.status in (
                    Status.OK,
                    Status.INVALID_INPUT,
                    Status.MODEL_FAILED,
                ):
                    expected = output(outcome.status, version=version, input=input)
                    assert outcome.payload == expected
        if isinstance(self.engine, CountingEngine):
            assert set(self.engine.settled.values()) <= {1}
            assert self.sent.keys() <= self.engine.settled.keys()
        assert not self.engine.joinable
        for version in VERSIONS:
            assert self.engine.waiting(version) == self.engine.in_flight(version) == 0
        assert all(not one.replica.load for one in self.replicas)
        assert all(one.replica.load == 0 for one in self.replicas)


number = st.integers(0, 7)
one_replica = st.integers(0, 5)


def on_replica(action: Callable[..., None], *values: Any) -> st.SearchStrategy[Any]:
    return st.tuples(st.just(action), one_replica, *values)


asks = st.tuples(
    st.just(Mix.ask),
    number,
    st.sampled_from([(1,), (2,), (1, 2)]),
    st.sampled_from([-1.0, 0.0, 0.002, 0.01, IN_TIME, IN_TIME]),
    st.builds(
        lambda tenant, priority, cached, max_age: CallOptions(
            tenant=tenant, priority=priority, cached=cached, max_age=max_age
        ),
        st.integers(1, 3),
        st.integers(0, 2),
        st.booleans(),
        st.sampled_from([float("inf"), 0.001]),
    ),
)
reconfigurations = st.tuples(
    st.just(Mix.configure),
    st.builds(
        lambda controller, max_size, wait_ms: BatchingSpec(
            controller=controller, max_size=max_size, wait_ms=wait_ms
        ),
        st.sampled_from(["aimd", "quantile_regression", "static", "none"]),
        st.sampled_from([1, 3, 8]),
        st.sampled_from([0.0, None, 1.0, 60_000.0]),
    ),
    st.sampled_from([0.002, 0.05, 5.0]),
)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just(turn)),
        st.tuples(st.just(turn)),
        asks,
        asks,
        asks,
        asks,
        asks,
        asks,
        st.lists(asks, min_size=8, max_size=8).map(lambda many: (Mix.ask_all, many)),
        on_replica(Mix.answer, st.just([OK])),
        on_replica(Mix.answer, st.lists(st.sampled_from(AnswerStatus), min_size=1, max_size=3)),
        on_replica(Mix.answer, st.just([FAILED])),
        on_replica(Mix.answer_part),
        on_replica(Mix.answer_part),
        on_replica(Mix.slow_down),
        on_replica(Witness.die),
        on_replica(Witness.leave),
        on_replica(Mix.garble),
        on_replica(Witness.block),
        on_replica(Witness.unblock),
        st.tuples(st.just(Mix.join), st.sampled_from([1, 2])),
        st.tuples(st.just(Mix.join), st.sampled_from([1, 2])),
        st.tuples(st.just(Mix.leave), number),
        st.tuples(st.just(Engine.sweep)),
        st.tuples(st.just(Engine.expect), st.sampled_from([(1, 2), (1, 2), (1,), ()])),
        reconfigurations,
    ),
    min_size=40,
    max_size=120,
)


@settings(max_examples=25, deadline=None)
@given(STEPS)
def test_every_question_is_settled_once_with_its_own_answers_and_nothing_is_left(
    steps: list[Any],
) -> None:
    asyncio.run(_play(steps))


async def _play(steps: list[tuple[Any, ...]]) -> None:
    mix = Mix()
    mix.join(1)
    mix.join(2)
    for action, *values in steps:
        if action is turn:
            await turn()
        elif action in (Engine.sweep, Engine.expect):
            action(mix.engine, *values)
        elif action in (Mix.ask, Mix.ask_all, Mix.leave, Mix.join, Mix.configure):
            action(mix, *values)
        elif mix.open:
            replica = mix.open[values[0] % len(mix.open)]
            if action in (Witness.die, Witness.leave, Witness.block, Witness.unblock):
                action(replica)
            else:
                action(mix, replica, *values[1:])
        mix.check_order()
    await mix.finish()
    mix.check()
