"""Waits until something that another task does has come true."""

import asyncio
from collections.abc import Awaitable, Callable


async def eventually(true: Callable[[], bool | Awaitable[bool]], *, within_s: float = 40.0) -> None:
    async with asyncio.timeout(within_s):
        while True:
            outcome = true()
            if outcome is True or (not isinstance(outcome, bool) and await outcome):
                return
            await asyncio.sleep(0.005)
