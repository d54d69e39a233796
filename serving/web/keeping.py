"""Keeps something up to date: it is refreshed on every change, and now and then without one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

RETRY_PAUSE_S = 0.5

logger = logging.getLogger(__name__)


async def keep(
    refresh: Callable[[], Awaitable[None]], *, changed: asyncio.Event, poll_s: float
) -> None:
    """Refresh on every change and every `poll_s`; a failure is logged once and tried again."""
    failing = False
    while True:
        try:
            async with asyncio.timeout(poll_s):
                await changed.wait()
        except TimeoutError:
            pass
        changed.clear()
        try:
            await refresh()
            failing = False
        except Exception as error:  # noqa: BLE001  (database and Redis fail in many ways)
            if not failing:
                logger.warning("%s failed, will retry: %s", refresh.__name__.strip("_"), error)
            failing = True
            await asyncio.sleep(RETRY_PAUSE_S)
            changed.set()
