"""Imports at the start of a process, which the garbage collector doesn't look through."""

import gc

from core.imports import uncollected


def test_nothing_is_collected_in_the_block_and_what_it_leaves_is_never_looked_at() -> None:
    before = gc.get_freeze_count()
    with uncollected():
        assert not gc.isenabled()
        made: list[list[object]] = [[] for _ in range(5)]
        assert sum(each is made for each in gc.get_objects()) == 1
    assert gc.isenabled()
    assert gc.get_freeze_count() > before
    assert not any(each is made for each in gc.get_objects())
