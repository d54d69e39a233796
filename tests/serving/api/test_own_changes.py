"""What was changed through a process is waited for once by who comes after it."""

from __future__ import annotations

import asyncio

from serving.web.own_changes import OwnChanges


async def test_only_who_comes_after_a_change_waits_and_all_of_them_do() -> None:
    looks = 0
    looked = asyncio.Event()

    async def catch_up() -> None:
        nonlocal looks
        looks += 1
        await looked.wait()

    changes = OwnChanges(catch_up)
    await changes.followed()
    assert looks == 0
    changes.made()
    waiting = [asyncio.create_task(changes.followed()) for _ in range(3)]
    await asyncio.sleep(0)
    assert looks == 3
    assert not any(task.done() for task in waiting)
    looked.set()
    await asyncio.gather(*waiting)
    await changes.followed()
    assert looks == 3
