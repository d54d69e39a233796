"""Time as a test wants it: a clock that can be put forward, and an event loop that jumps."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from time import monotonic
from typing import Any, ParamSpec

P = ParamSpec("P")


class AdjustableClock:
    """The monotonic clock for `Engine(clock=...)`, which can be put forward."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def __call__(self) -> float:
        return monotonic() + self._ahead

    def advance(self, seconds: float) -> None:
        self._ahead += seconds


class JumpingSelector(selectors.SelectSelector):
    """Waits for nothing: its clock jumps to where the wait would have ended."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise AssertionError("all wait and no timer is set: nothing will ever happen")
        self.now += max(0.0, timeout)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose time passes only where everybody waits for it, and then at once."""

    def __init__(self) -> None:
        self._jumping = JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


def in_virtual_time(scenario: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Make a test of a coroutine function, which runs on a VirtualLoop.

    It goes the same way every time, however busy the machine is. What reads a clock of its own
    has to be given the loop's, as `Engine(clock=loop.time)`.
    """

    @functools.wraps(scenario)
    def test(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            runner.run(scenario(*args, **kwargs))

    return test
