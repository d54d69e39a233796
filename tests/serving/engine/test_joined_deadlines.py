"""An identical query with more time joins one with less: the lane stays in order."""

from __future__ import annotations

from serving.engine.gather import Gather
from serving.engine.queue import CallQueue
from serving.testing import new_call

# A deadline that passes while the test runs, and one that does not.
SOON, LATER = 60.0, 6000.0


def test_whose_deadline_has_passed_goes_though_the_first_got_more_time() -> None:
    queue = CallQueue(capacity=10)
    first, *others = calls = [new_call(deadline=1.0 + n / 10) for n in range(4)]
    for call in calls:
        queue.push(call)
    first.join(Gather(calls=1), index=0, deadline=100.0)
    assert queue.drop_expired(now=2.0) == others
    assert queue.rows == 1
    assert queue.drop_expired(now=101.0) == [first]


def test_who_got_more_time_is_put_where_it_belongs() -> None:
    queue = CallQueue(capacity=10)
    first, second = new_call(deadline=1.0), new_call(deadline=5.0)
    queue.push(first)
    queue.push(second)
    first.join(Gather(calls=1), index=0, deadline=10.0)
    assert queue.drop_expired(now=2.0) == []
    assert queue.take(rows=2, finish=0.0).calls == [second, first]
