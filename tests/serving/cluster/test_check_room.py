"""Checks run side by side as long as what they may take fits into memory; one always runs."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from serving.cluster.control.check_room import CheckRoom

GIB = 1 << 30


class GivenUp(Exception):
    """Raised by one that waits, so that it waits no longer."""


def give_up() -> None:
    raise GivenUp


def has_room(room: CheckRoom, needed: int) -> bool:
    try:
        with room.hold(needed, wait=give_up):
            return True
    except GivenUp:
        return False


@pytest.mark.parametrize(("available_gib", "fit"), [(16, True), (6, False), (0, False)])
def test_a_second_one_runs_where_both_fit_into_half_of_the_memory(
    available_gib: int, fit: bool
) -> None:
    room = CheckRoom(lambda: available_gib * GIB)
    with room.hold(2 * GIB, wait=give_up):
        assert has_room(room, 2 * GIB) is fit


def test_one_always_runs_however_much_it_may_take() -> None:
    assert has_room(CheckRoom(lambda: 0), 64 * GIB)


def test_those_that_ended_or_gave_up_take_no_room() -> None:
    room = CheckRoom(lambda: 4 * GIB)
    with room.hold(2 * GIB, wait=give_up):
        assert not has_room(room, GIB)
    assert has_room(room, GIB)


def test_a_small_one_does_not_overtake_a_large_one() -> None:
    room, order = CheckRoom(lambda: 8 * GIB), list[str]()
    waits = threading.Event()

    def run(name: str, needed: int) -> None:
        with room.hold(needed, wait=waits.set):
            order.append(name)

    with ExitStack() as first:
        first.enter_context(room.hold(GIB, wait=give_up))
        large = threading.Thread(target=run, args=("large", 4 * GIB))
        large.start()
        assert waits.wait(30)
        assert not has_room(room, GIB)
    large.join(30)
    assert order == ["large"]
    assert has_room(room, GIB)
