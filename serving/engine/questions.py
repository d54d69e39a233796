"""One question put to several versions, and the call that carries it to one of them."""

from __future__ import annotations

import asyncio

from serving.engine.outcome import Outcome


class Question:
    """Waits for the outcomes of several calls, until all are there or its deadline has passed.

    The future is made only when somebody has to wait: an answer from the cache costs none.
    """

    __slots__ = ("_future", "_missing", "_timer", "outcomes")

    def __init__(self, *, calls: int) -> None:
        self.outcomes: list[Outcome | None] = [None] * calls
        self._missing = calls
        self._future: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def answered(self) -> bool:
        return self._missing == 0

    def arrive(self, index: int, outcome: Outcome) -> None:
        """Take the outcome of the call at `index`; the first one counts."""
        if self.outcomes[index] is not None:
            return
        self.outcomes[index] = outcome
        self._missing -= 1
        if self._missing == 0:
            self._settle()

    async def settled(self, *, seconds: float) -> None:
        """Return when every outcome is there, at the latest after `seconds`."""
        if self._missing == 0 or seconds <= 0.0:
            return
        loop = asyncio.get_running_loop()
        self._future = loop.create_future()
        self._timer = loop.call_later(seconds, self._settle)
        try:
            await self._future
        finally:
            self._timer.cancel()

    def _settle(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class Call:
    """One input on its way to one version; identical questions in flight share it."""

    __slots__ = ("deadline", "input", "key", "retried", "waiters")

    def __init__(self, *, key: bytes, input: bytes, deadline: float) -> None:
        self.key = key
        self.input = input
        self.deadline = deadline
        self.retried = False
        self.waiters: list[tuple[Question, int]] = []

    def join(self, question: Question, *, index: int, deadline: float) -> None:
        self.waiters.append((question, index))
        self.deadline = max(self.deadline, deadline)

    def answer(self, outcome: Outcome) -> None:
        """Hand the outcome to everyone who waits for it."""
        for question, index in self.waiters:
            question.arrive(index, outcome)
        self.waiters.clear()
