"""Upkeep of a web process: refreshes on changes and from time to time."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from redis.asyncio import Redis

from core.log_once import LogOnce
from selection.store.redis_keys import REDIS_ERRORS

RETRY_PAUSE_S = 0.5

logger = logging.getLogger(__name__)


async def keep(refresh: Callable[[], Awaitable[None]], *, changed: asyncio.Event) -> None:
    """Refresh on every change and each second; a failure is logged once and tried again."""
    failing = False
    while True:
        try:
            async with asyncio.timeout(1.0):
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


async def listen(
    redis: Redis, *channels: str, hear: Callable[[str], None], catch_up: Callable[[], None]
) -> None:
    """Call `hear` with the channel of each notice, and `catch_up` after subscribing."""
    log_once = LogOnce(logger, away="no notices from Redis", back="notices come from Redis again")
    while True:
        try:
            async with redis.pubsub(ignore_subscribe_messages=True) as pubsub:
                await pubsub.subscribe(*channels)
                # This returns for the subscription.
                await pubsub.get_message(timeout=5.0)
                log_once.ended()
                catch_up()
                while True:
                    message = await pubsub.get_message(timeout=60.0)
                    if message is not None:
                        hear(message["channel"].decode())
        except REDIS_ERRORS as error:
            log_once.began(error)
        except Exception:
            logger.exception("a notice could not be followed")
        await asyncio.sleep(RETRY_PAUSE_S)
