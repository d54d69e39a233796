"""The queue's order, its evictions for want of room, and that nobody is lost on the way."""

from collections import Counter
from collections.abc import Iterable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.engine.gather import Call, Gather
from serving.engine.queue import MAX_BATCH_BYTES, CallQueue, Taken
from serving.testing import new_call

A, B, C = 1, 2, 3
HIGH, NORMAL, LOW = 0, 1, 2


def filled(*calls: Call, capacity: int = 1000) -> CallQueue:
    queue = CallQueue(capacity=capacity)
    for call in calls:
        assert not queue.push(call)
    return queue


def many(rows: int, *, tenant: int = A, priority: int = NORMAL, first: float = 1.0) -> list[Call]:
    """Calls of one application, their deadlines in order."""
    return [new_call(deadline=first + n, tenant=tenant, priority=priority) for n in range(rows)]


def take(queue: CallQueue, rows: int, *, finish: float = 0.0) -> list[Call]:
    return queue.take(rows=rows, finish=finish).calls


def shares(calls: list[Call]) -> list[int]:
    return [call.tenant for call in calls]


def fair(calls: list[Call]) -> bool:
    """Return if each of several applications got its even share, give or take a row."""
    rows = Counter(shares(calls)).values()
    return len(rows) > 1 and all(abs(one - len(calls) / len(rows)) <= 1 for one in rows)


def test_one_application_is_served_by_deadline() -> None:
    early, late, later = many(3)
    queue = filled(late, later, early)
    assert take(queue, 3) == [early, late, later]


def test_applications_take_turns_row_by_row() -> None:
    queue = filled(*many(6, tenant=A), *many(2, tenant=B, first=100.0))
    assert shares(take(queue, 8)) == [A, B, A, B, A, A, A, A]


def test_the_deadline_decides_whose_turn_comes_first() -> None:
    queue = filled(*many(2, tenant=A, first=50.0), *many(2, tenant=B))
    assert shares(take(queue, 4)) == [B, A, B, A]


def test_a_higher_priority_goes_before_everything_else() -> None:
    low, normal = many(2, tenant=A, priority=LOW), many(2, tenant=B)
    high = many(3, tenant=C, priority=HIGH, first=500.0)
    assert take(filled(*low, *normal, *high), 7) == high + normal + low


def test_who_comes_back_after_a_while_has_lost_no_turn() -> None:
    queue = filled(*many(30, tenant=A), *many(1, tenant=B))
    take(queue, 31)
    for call in [*many(20, tenant=A), *many(20, tenant=C), *many(20, tenant=B)]:
        queue.push(call)
    assert fair(take(queue, 30))


def test_who_comes_right_back_after_each_row_does_not_keep_another_from_its_turn() -> None:
    queue = filled(*many(50, tenant=A, first=100.0))
    taken = []
    for _ in range(20):
        if B not in {lane[0].tenant for lane in queue.lanes}:
            queue.push(new_call(tenant=B, deadline=1.0))
        taken += shares(take(queue, 1))
    assert Counter(taken) == {A: 10, B: 10}


def test_a_busy_priority_does_not_put_off_newcomers_of_another() -> None:
    """Each priority counts its turns for itself."""
    queue = filled(*many(20, tenant=A), *many(90, tenant=C, priority=HIGH))
    assert set(shares(take(queue, 90))) == {C}
    for call in many(20, tenant=B):
        queue.push(call)
    assert fair(take(queue, 20))


def test_a_changed_priority_holds_for_the_calls_that_come_after_it() -> None:
    old, other = many(5, tenant=A, priority=LOW), many(5, tenant=B)
    queue = filled(*old, *other)
    urgent = new_call(tenant=A, priority=HIGH, deadline=900.0)
    queue.push(urgent)
    assert take(queue, 11) == [urgent, *other, *old]


def test_what_would_be_answered_too_late_is_taken_out_apart() -> None:
    late = many(2, tenant=A)
    timely = many(2, tenant=B, first=10.0)
    taken = filled(*late, *timely).take(rows=2, finish=2.0)
    assert taken.late == late
    assert taken.calls == timely


def test_who_is_too_late_costs_its_application_no_turn() -> None:
    queue = filled(
        *many(4, tenant=A), *many(8, tenant=A, first=10.0), *many(8, tenant=B, first=10.0)
    )
    taken = queue.take(rows=8, finish=4.0)
    assert len(taken.late) == 4
    assert Counter(shares(taken.calls)) == {A: 4, B: 4}


def test_a_batch_ends_before_it_holds_too_many_bytes() -> None:
    third = b"x" * (MAX_BATCH_BYTES // 3)
    queue = filled(*[new_call(third, deadline=n) for n in (1.0, 2.0, 3.0, 4.0)])
    assert [len(take(queue, 10)) for _ in range(2)] == [3, 1]


def test_the_last_call_of_the_longest_lane_goes_before_anyone_elses_first() -> None:
    flood = many(4, tenant=A)
    queue = filled(*flood, capacity=4)
    first, second = many(2, tenant=B)
    assert queue.push(first) == [flood[-1]]
    assert queue.push(second) == [flood[-2]]
    assert shares(take(queue, 4)) == [A, B, A, B]


@pytest.mark.parametrize("priority", [HIGH, NORMAL, LOW])
def test_before_a_first_call_only_as_many_are_ahead_as_fairness_gives_a_turn(priority: int) -> None:
    queue = filled(*many(100, tenant=A), *many(100, tenant=B))
    ahead = queue.ahead_of(new_call(tenant=C, priority=priority))
    assert ahead == {HIGH: 0, NORMAL: 2, LOW: 200}[priority]


calls_of_applications = st.tuples(
    st.integers(1, 4),  # share
    st.integers(0, 2),  # priority
    st.integers(0, 5),  # how much later than the application's call before
)


@given(
    pushed=st.lists(calls_of_applications, max_size=40),
    taken_first=st.integers(0, 20),
    then=st.lists(calls_of_applications, max_size=20),
    asked=calls_of_applications,
)
def test_those_ahead_are_those_taken_before(
    pushed: list[tuple[int, int, int]],
    taken_first: int,
    then: list[tuple[int, int, int]],
    asked: tuple[int, int, int],
) -> None:
    queue = CallQueue(capacity=1000)
    deadlines: Counter[int] = Counter()

    def ordered(tenant: int, priority: int, later: int) -> Call:
        deadlines[tenant] += 1 + later
        return new_call(deadline=float(deadlines[tenant]), tenant=tenant, priority=priority)

    for one in pushed:
        queue.push(ordered(*one))
    take(queue, taken_first)
    for one in then:
        queue.push(ordered(*one))
    call = ordered(*asked)
    peers = {lane[0].tenant for lane in queue.lanes if lane[0].priority == call.priority}

    expected = queue.ahead_of(call)
    queue.push(call)
    before = take(queue, 1000).index(call)

    assert before <= expected <= before + len(peers - {call.tenant})


def sized(size: int, *, tenant: int = A, priority: int = NORMAL) -> Call:
    return new_call(b"x" * size, tenant=tenant, priority=priority)


def test_who_holds_more_bytes_gives_way_to_who_holds_fewer() -> None:
    queue = CallQueue(capacity=10, max_bytes=100)
    large = [sized(30) for _ in range(3)]
    for call in large:
        queue.push(call)
    assert queue.push(sized(20, tenant=B)) == [large[-1]]
    newcomer = sized(70, tenant=C)
    assert queue.push(newcomer) == [newcomer]


def test_a_higher_priority_takes_the_room_it_needs_from_a_lower_one() -> None:
    queue = CallQueue(capacity=10, max_bytes=100)
    low = [sized(30, priority=LOW) for _ in range(3)]
    for call in low:
        queue.push(call)
    assert queue.push(sized(70, tenant=B)) == [low[2], low[1]]
    assert queue.bytes_held == 100


steps = st.lists(
    st.one_of(
        st.tuples(st.just("push"), st.integers(1, 3), st.integers(0, 2), st.integers(0, 30)),
        st.tuples(st.just("take"), st.integers(1, 6), st.integers(0, 30)),
        st.tuples(st.just("drop"), st.integers(0, 30)),
        st.tuples(st.just("clear")),
    ),
    max_size=80,
)


@given(steps)
def test_every_call_comes_out_once_and_no_late_one_in_a_batch(steps: list[tuple[Any, ...]]) -> None:
    queue, numbers = CallQueue(capacity=12, max_bytes=120), count()
    inside: dict[int, Call] = {}

    def out(calls: Iterable[Call]) -> None:
        for call in calls:
            del inside[id(call)]  # fails on one that was never in, or is out already

    for action, *values in steps:
        if action == "push":
            tenant, priority, deadline = values
            call = new_call(
                b" " * (next(numbers) * 7 % 40), tenant=tenant, priority=priority, deadline=deadline
            )
            inside[id(call)] = call
            out(queue.push(call))
        elif action == "take":
            rows, finish = values
            taken = queue.take(rows=rows, finish=finish)
            assert len(taken.calls) <= rows
            assert all(call.deadline > finish for call in taken.calls)
            assert all(call.deadline <= finish for call in taken.late)
            assert len(taken.calls) == rows or not inside or not _left(inside, taken)
            out(taken.calls + taken.late)
        elif action == "drop":
            expired = queue.drop_expired(now=values[0])
            out(expired)
            assert all(call.deadline > values[0] for call in inside.values())
        else:
            out(queue.clear())
            assert not inside
        assert queue.rows == len(inside) <= queue.capacity
        assert queue.bytes_held == sum(len(call.input) for call in inside.values())
        assert queue.bytes_held <= queue.max_bytes
        first = min((call.deadline for call in inside.values()), default=float("inf"))
        assert queue.earliest_deadline() == first
    out(queue.clear())
    assert not inside
    assert queue.bytes_held == 0


def _left(inside: dict[int, Call], taken: Taken) -> int:
    """Return the number of calls left in the queue although the batch had room."""
    return len(inside) - len(taken.calls) - len(taken.late)


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 4)), min_size=1, max_size=30))
def test_whoever_always_waits_gets_a_fair_share_whatever_the_others_do(
    rounds: list[tuple[int, int]],
) -> None:
    """Others come and go at will; application 9 keeps one row or more in the queue."""
    queue = filled(*many(500, tenant=9))
    served: Counter[int] = Counter()
    for tenant, rows in rounds:
        for call in many(rows, tenant=tenant):
            queue.push(call)
        served.update(shares(take(queue, 2)))
    for tenant in (1, 2, 3):
        assert served[tenant] <= served[9] + 2


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
