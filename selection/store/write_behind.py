"""Writes to Redis behind the prediction path: what waits goes there as soon as it is taken."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from core.log_once import LogOnce
from core.loop.background_tasks import end_tasks

# So many are encoded without a pause of the event loop, and have the time of one write.
WRITTEN_AT_ONCE = 256


class WriteBehind:
    """A task that writes as long as something is `waiting`, again and again while Redis is away.

    `write_some` takes what it wrote off what waits; `what` names it in the log.
    """

    def __init__(
        self,
        *,
        what: str,
        waiting: Callable[[], int],
        write_some: Callable[[], Awaitable[None]],
        logger: logging.Logger,
    ) -> None:
        self._what = what
        self._waiting = waiting
        self._write_some = write_some
        self._logger = logger
        self._work = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._log_once = LogOnce(
            logger, away=f"{what} can't be written", back=f"{what} are written again"
        )

    async def start(self) -> None:
        self._task = asyncio.create_task(self._write_forever(), name=self._logger.name)

    async def stop(self) -> None:
        """Write what still waits, as far as Redis takes it, and end."""
        if self._task is not None:
            await end_tasks([self._task])
            self._task = None
        if self._waiting() and not await self._write_all():
            self._logger.warning("%s not stored at shutdown count=%d", self._what, self._waiting())

    def wake(self) -> None:
        """Call it when something has begun to wait."""
        self._work.set()

    async def _write_forever(self) -> None:
        while True:
            await self._work.wait()
            self._work.clear()
            if not await self._write_all():
                await asyncio.sleep(0.2)
                self._work.set()

    async def _write_all(self) -> bool:
        while self._waiting():
            try:
                async with asyncio.timeout(2.0):
                    await self._write_some()
            except Exception as error:  # noqa: BLE001  (what comes after it is to be written)
                self._log_once.began(error)
                return False
            self._log_once.ended()
        return True
