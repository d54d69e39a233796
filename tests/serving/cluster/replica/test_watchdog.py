"""A worker's main process reads in shared memory which of its replicas are over a limit."""

import os
import re
import time
from typing import Any

import pytest

from serving.cluster.membership.records import ReplicaState
from serving.cluster.replica.watchdog import (
    Watched,
    WatchedPredictor,
    WatchTable,
)
from serving.rpc.frames.codec import Answer, AnswerStatus
from tests.serving.cluster.samples import a_record

READY, LOADING = ReplicaState.READY, ReplicaState.LOADING


def a_charge(**changes: Any) -> Watched:
    fields: dict[str, Any] = {
        "record": a_record(pid=os.getpid(), state=READY),
        "memory_limit_mb": None,
    }
    return Watched(**(fields | changes))


def reasons(table: WatchTable, *, after_s: float = 0.0) -> list[str]:
    return [violation.reason for violation in table.violations(now=time.monotonic() + after_s)]


@pytest.fixture
def table() -> WatchTable:
    return WatchTable()


def test_a_batch_that_takes_too_long_is_told(table: WatchTable) -> None:
    slot = table.slot(3)
    slot.hold(a_charge())
    slot.begin(5.0)

    assert reasons(table, after_s=4.0) == []
    (violation,) = table.violations(now=time.monotonic() + 6.0)
    assert violation.reason == "the model hung: a batch took more than 5 s"
    assert violation.record == a_charge().record


def test_a_model_that_loads_for_too_long_is_told(table: WatchTable) -> None:
    slot = table.slot(0)
    slot.hold(a_charge(record=a_record(state=LOADING)))

    with slot.working(at_most_s=120.0):
        assert reasons(table, after_s=121.0) == ["the model did not load within 120 s"]
    assert reasons(table, after_s=121.0) == []


def test_a_replica_that_has_gone_is_watched_no_more(table: WatchTable) -> None:
    slot = table.slot(0)
    slot.hold(a_charge())
    slot.begin(5.0)
    slot.clear()
    slot.renew(a_record())

    assert reasons(table, after_s=6.0) == []


def test_what_a_process_holds_counts_from_where_it_began(table: WatchTable) -> None:
    table.slot(0).hold(a_charge(base_bytes=1 << 60, memory_limit_mb=128))
    table.slot(1).hold(a_charge(base_bytes=-(1 << 30), memory_limit_mb=128))

    (reason,) = reasons(table)
    # Beside the gibibyte there is whatever this process and its children hold.
    taken = re.fullmatch(r"the model takes (\d+) MiB, more than its .* of 128 MiB", reason)
    assert taken is not None
    assert int(taken[1]) > 1024


def test_what_a_model_takes_is_known_from_the_first_look_on(table: WatchTable) -> None:
    slot = table.slot(0)
    slot.hold(a_charge(base_bytes=-(1 << 30)))
    assert slot.taken_bytes is None
    assert reasons(table) == []
    assert (slot.taken_bytes or 0) > 1 << 30
    slot.renew(a_record(pid=os.getpid()))
    assert slot.taken_bytes is None
    assert reasons(table) == []
    slot.clear()
    assert slot.taken_bytes is None


class Failing:
    """Looks at the table while it answers, then breaks."""

    def __init__(self, table: WatchTable) -> None:
        self.table = table
        self.seen: list[str] = []

    def answer_batch(self, inputs: Any) -> list[Answer]:
        self.seen = reasons(self.table, after_s=6.0)
        if len(inputs) > 1:
            raise ValueError
        return [Answer(AnswerStatus.OK, b"1")]


def test_each_batch_is_timed_and_a_failing_one_ends_too(table: WatchTable) -> None:
    slot = table.slot(0)
    slot.hold(a_charge())
    failing = Failing(table)
    watched = WatchedPredictor(failing, slot=slot, at_most_s=5.0)

    assert watched.answer_batch([b"1"]) == [Answer(AnswerStatus.OK, b"1")]
    assert len(failing.seen) == 1
    with pytest.raises(ValueError):
        watched.answer_batch([b"1", b"2"])
    assert reasons(table, after_s=6.0) == []
