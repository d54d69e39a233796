"""Rows that are in no hurry go in larger batches, found by doubling, and only among themselves."""

from serving.engine.batching.planner import BatchPlanner
from serving.engine.engine import Engine, EngineSpec
from serving.engine.gather import LAST_PRIORITY, CallOptions
from serving.testing import ask, connect, turn
from tests.serving.engine.batching.test_planner import new_planner

LAST = CallOptions(priority=LAST_PRIORITY, cached=False)
FIXED_S, ROW_S = 0.004, 0.000_005


def answer(planner: BatchPlanner, *, rows: int, row_s: float = ROW_S) -> None:
    seconds = FIXED_S + row_s * rows
    planner.record(rows=rows, seconds=seconds)


def test_what_pays_for_a_frame_is_found_in_a_dozen_batches() -> None:
    planner = new_planner()
    for _ in range(12):
        answer(planner, rows=planner.bulk_cap)
    assert planner.bulk_cap > 1000 > 100 > planner.cap


def test_rows_that_take_longer_than_the_budget_hardly_go_together() -> None:
    planner = new_planner()
    row_s = 2 * planner.budget
    for _ in range(30):
        rows = planner.bulk_cap
        planner.record(rows=rows, seconds=row_s * rows)
        assert planner.bulk_cap <= 4


def test_a_batch_stays_within_the_budget() -> None:
    planner = new_planner()
    row_s = 0.0001
    for _ in range(60):
        rows = planner.bulk_cap
        assert FIXED_S + row_s * rows <= planner.budget
        answer(planner, rows=rows, row_s=row_s)
    assert planner.bulk_cap > 50


def test_one_late_query_says_nothing_of_large_batches() -> None:
    planner = new_planner()
    for _ in range(12):
        answer(planner, rows=planner.bulk_cap)
    before = planner.bulk_cap
    answer(planner, rows=1, row_s=1.0)
    assert planner.bulk_cap == before


def test_no_batch_is_larger_than_the_version_says() -> None:
    planner, single = new_planner(max_size=16), new_planner(controller="none")
    for _ in range(12):
        answer(planner, rows=planner.bulk_cap)
        answer(single, rows=single.bulk_cap)
    assert (planner.bulk_cap, single.bulk_cap) == (16, 1)


async def test_a_query_goes_in_a_batch_of_the_usual_size() -> None:
    engine = Engine(EngineSpec(queue_capacity=1000))
    played = connect(engine)
    planner = played.replica.planner
    for _ in range(12):
        answer(planner, rows=planner.bulk_cap)
    for hurry in (False, True):
        for number in range(400):
            ask(engine, b"[%d]" % number, options=LAST)
        if hurry:
            ask(engine, b"[400]")
        await turn()
        expected = planner.cap if hurry else 400
        ((_, inputs),) = played.batches[:1]
        assert len(inputs) == expected
        played.answer(dict.fromkeys(inputs, b"1"))
