"""Background tasks of an object."""

import asyncio
from collections.abc import Iterable


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and return when all have ended, however.

    Before Python 3.12 `asyncio.wait_for`, which redis-py uses, may forget a cancellation.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=0.1)
        for task in ended:
            if not task.cancelled():
                task.exception()  # retrieved, so that asyncio doesn't log it
