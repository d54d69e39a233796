"""An identical query with more time joins one with less: the lane stays in order."""

from __future__ import annotations

from serving.engine.deadlines import Deadlines
from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import Gather
from serving.engine.outcome import Status
from serving.engine.queue import CallQueue
from serving.testing import AdjustableClock, ask, batch_by, connect, new_call, turn

# A deadline that passes while the test runs, and one that does not.
SOON, LATER = 60.0, 6000.0


def test_whose_deadline_has_passed_goes_though_the_first_got_more_time() -> None:
    queue = CallQueue(capacity=10)
    first, *others = calls = [new_call(deadline=1.0 + n / 10) for n in range(4)]
    for call in calls:
        queue.push(call)
    first.join(Gather(calls=1, deadlines=Deadlines()), index=0, deadline=100.0)
    assert queue.drop_expired(now=2.0) == others
    assert queue.rows == 1
    assert queue.drop_expired(now=101.0) == [first]


def test_who_got_more_time_is_put_where_it_belongs() -> None:
    queue = CallQueue(capacity=10)
    first, second = new_call(deadline=1.0), new_call(deadline=5.0)
    queue.push(first)
    queue.push(second)
    first.join(Gather(calls=1, deadlines=Deadlines()), index=0, deadline=10.0)
    assert queue.drop_expired(now=2.0) == []
    assert queue.take(rows=2, finish=0.0).calls == [second, first]


async def test_a_full_queue_of_expired_calls_takes_new_ones() -> None:
    """What is joined stands first in it."""
    clock = AdjustableClock()
    full = Engine(EngineSpec(queue_capacity=4), clock=clock)
    full.expect([1])
    batch_by(full, rows=1)
    replica = connect(full)
    ask(full, b"[100]", seconds=LATER)
    ask(full, b"[101]", seconds=LATER)
    await turn()
    assert replica.sizes == [1, 1]
    soon = [ask(full, b"[%d]" % n, seconds=SOON) for n in range(4)]
    joined = ask(full, b"[0]", seconds=LATER)
    clock.advance(SOON)
    newcomer = ask(full, b"[7]", seconds=LATER)
    assert not newcomer.answered
    assert [q.outcomes[0].status for q in soon[1:]] == [Status.EXPIRED] * 3
    while replica.batches:
        replica.answer()
        await turn()
    assert joined.outcomes == [(Status.OK, b"[0]")]
    assert newcomer.outcomes == [(Status.OK, b"[7]")]
