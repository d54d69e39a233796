"""Long work pauses where its thread has to wait for a core, and nowhere else."""

import sys
import threading
from itertools import accumulate

import pytest

from core.loop.backoff import Backoff, Reading, core_times

MS = 1_000_000


def pauses(*pieces: tuple[int, int]) -> list[bool]:
    """Return after which pieces it pauses, each of so many ms of work and of waiting."""
    readings = list(accumulate(pieces, lambda sum_, one: (sum_[0] + one[0], sum_[1] + one[1])))
    left = iter([(0, 0), *readings])

    def read() -> Reading:
        run, waited = next(left)
        return run * MS, waited * MS

    gives_way = Backoff(read=read)
    return [gives_way.pauses() for _ in range(len(pieces) + 1)][1:]


def test_it_goes_on_where_there_is_a_core() -> None:
    assert not any(pauses(*[(5, 0)] * 50))
    assert not any(pauses(*[(5, 1)] * 50))


def test_it_pauses_as_long_as_cores_are_short() -> None:
    seen = pauses(*[(5, 0)] * 20, *[(5, 5)] * 100, *[(5, 0)] * 100)
    assert not any(seen[:25])
    assert all(seen[70:120])
    assert not any(seen[170:])


def test_one_long_wait_is_no_reason() -> None:
    assert not any(pauses(*[(5, 0)] * 20, (5, 20), *[(5, 0)] * 20))


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="Linux tells threads of it")
def test_a_thread_is_told_of_its_own_times() -> None:
    """One that has just begun has run for less time than one that has worked."""

    def begin() -> None:
        told.append(core_times())

    told: list[Reading | None] = []
    sum(range(3_000_000))
    own = core_times()
    thread = threading.Thread(target=begin)
    thread.start()
    thread.join(timeout=60)
    assert own is not None
    assert told[0] is not None
    assert told[0][0] < own[0]
