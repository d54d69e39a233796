"""Random mixes of queries, answers, deaths and departures leave nothing behind."""

import asyncio
from time import monotonic

from hypothesis import given, settings
from hypothesis import strategies as st

from serving.engine.engine import Engine, EngineSpec
from serving.engine.questions import Question
from serving.rpc.errors import ConnectionLost
from tests.serving.engine.doubles import connect
from tests.serving.engine.test_engine import VERSION, turn

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, 20)),
        st.tuples(st.just("ask_late"), st.integers(0, 20)),
        st.tuples(st.just("answer"), st.integers(0, 3)),
        st.tuples(st.just("kill"), st.integers(0, 3)),
        st.tuples(st.just("drain"), st.integers(0, 3)),
        st.tuples(st.just("join"), st.just(0)),
        st.tuples(st.just("turn"), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(STEPS)
def test_every_question_is_settled_once_with_its_own_answer(steps):
    asyncio.run(_play(steps))


async def _play(steps) -> None:
    engine = Engine(EngineSpec(cache_bytes=0, queue_capacity=15))
    engine.expect([1])
    replicas = [connect(engine, name="r0")]
    asked: list[tuple[bytes, Question]] = []
    for action, number in steps:
        if action in ("ask", "ask_late"):
            question, input = Question(calls=1), b"[%d]" % number
            asked.append((input, question))
            engine.ask(
                VERSION,
                key=b"k" + input,
                input=input,
                deadline=monotonic() + (60.0 if action == "ask" else -1.0),
                question=question,
                index=0,
            )
        elif action == "join":
            replicas.append(connect(engine, name=f"r{len(replicas)}"))
        elif action == "turn":
            await turn()
        elif number < len(replicas) and not replicas[number].closed:
            replica = replicas[number]
            if action == "answer" and replica.batches:
                replica.answer()
            elif action == "drain":
                replica.ask_to_drain()
            elif action == "kill":
                replica.closed = True
                replica.batches.clear()
                replica.replica.on_lost(ConnectionLost("killed"))
    await _finish(engine, replicas)
    for input, question in asked:
        outcome = question.outcomes[0]
        assert outcome is not None
        assert outcome.status != 0 or outcome.payload == input
    assert not engine._in_flight
    assert engine.queued(1) == 0


async def _finish(engine, replicas) -> None:
    replicas.append(connect(engine, name="last"))
    for _ in range(200):
        await turn()
        for replica in replicas:
            while replica.batches and not replica.closed:
                replica.answer()
