"""Ends the tasks that an object keeps running behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

ASKED_AGAIN_AFTER_S = 0.1


async def end_tasks(tasks: Iterable[asyncio.Task[None]]) -> None:
    """Cancel tasks and return when all have ended, whatever they ended with.

    One may have to be asked again: before Python 3.12 `asyncio.wait_for`, which redis-py sends
    with, forgets a cancellation that comes as its work is done.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        ended, pending = await asyncio.wait(pending, timeout=ASKED_AGAIN_AFTER_S)
        for task in ended:
            if not task.cancelled():
                task.exception()  # whoever ends it doesn't care any more
