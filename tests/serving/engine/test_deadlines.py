"""Whoever waits is told when its time is over, and nobody else."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from serving.engine.deadlines import GRAIN_S, Deadlines, Due
from serving.testing import in_virtual_time


class Told:
    """Notes who was told, and when."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.at: dict[object, float] = {}
        self._loop = asyncio.get_running_loop()
        self.begun = self._loop.time()

    def watch(self, who: object, *, seconds: float) -> Due:
        return self.deadlines.watch(who, seconds=seconds, tell=partial(self._tell, who))

    def _tell(self, who: object) -> None:
        self.at[who] = self._loop.time() - self.begun


@in_virtual_time
async def test_each_is_told_when_its_time_is_over_never_later() -> None:
    told = Told()
    waits = [0.0001, 0.001, 0.0152, 0.0234, 0.0238, 0.5]
    for wait in waits:
        told.watch(wait, seconds=wait)
    await asyncio.sleep(1.0)
    assert told.at.keys() == set(waits)
    for seconds, at in told.at.items():
        assert isinstance(seconds, float)
        assert seconds - GRAIN_S - 1e-9 <= at <= seconds + 1e-9


@in_virtual_time
async def test_who_need_not_be_told_any_more_is_not() -> None:
    told = Told()
    due = told.watch("left", seconds=0.01)
    told.watch("stays", seconds=0.01)
    del due["left"]
    await asyncio.sleep(0.1)
    assert told.at.keys() == {"stays"}


@in_virtual_time
async def test_one_that_fails_does_not_keep_the_others_from_being_told() -> None:
    told = Told()

    def fail() -> None:
        raise RuntimeError("no")

    told.watch("first", seconds=0.01)
    told.deadlines.watch("bad", seconds=0.01, tell=fail)
    told.watch("last", seconds=0.01)
    await asyncio.sleep(0.1)
    assert told.at.keys() == {"first", "last"}


@in_virtual_time
async def test_those_who_are_answered_in_time_take_next_to_no_timers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told, loop = Told(), asyncio.get_running_loop()
    call_at, timers = loop.call_at, []

    def noted(when: float, tell: Any, *given: Any, **how: Any) -> asyncio.TimerHandle:
        if getattr(tell, "__self__", None) is told.deadlines:
            timers.append(when)
        return call_at(when, tell, *given, **how)

    monkeypatch.setattr(loop, "call_at", noted)
    for number in range(1000):
        due = told.watch(number, seconds=0.1)
        await asyncio.sleep(0.001)
        if number != 500:
            del due[number]
    await asyncio.sleep(0.1)
    # Each is set to one that is under way when the timer before it has rung.
    assert len(timers) <= 1000 / 100 + 2
    assert told.at.keys() == {500}
    assert told.deadlines.moments == 0


@in_virtual_time
async def test_a_short_time_behind_a_long_one_is_over_first() -> None:
    told = Told()
    for name, seconds in {"long": 0.4, "short": 0.002, "between": 0.02}.items():
        told.watch(name, seconds=seconds)
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.5)
    assert list(told.at) == ["short", "between", "long"]
    assert told.at["short"] == pytest.approx(0.003)
