"""Tasks behind an object end when it does, also where a library forgets a cancellation."""

import asyncio

from core.loop.background_tasks import end_tasks


async def test_one_that_forgets_a_cancellation_is_asked_again() -> None:
    async def forgets() -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(60)

    task = asyncio.create_task(forgets())
    await asyncio.sleep(0)

    async with asyncio.timeout(30):
        await end_tasks([task])

    assert task.cancelled()


async def test_what_failed_or_ended_before_is_no_trouble() -> None:
    async def fails() -> None:
        raise ValueError("on its own")

    failed, ended = asyncio.create_task(fails()), asyncio.create_task(asyncio.sleep(0))
    await asyncio.wait([failed, ended])

    await end_tasks([failed, ended])
    await end_tasks([])
