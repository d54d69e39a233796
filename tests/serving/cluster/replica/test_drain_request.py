"""A replica is asked to drain by its worker and by the directory, in whichever order they come."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from serving.cluster.replica.drain_request import DrainRequest


def test_it_may_be_asked_before_anybody_waits() -> None:
    drain = DrainRequest()
    drain.set()
    asyncio.run(asyncio.wait_for(drain.wait(), timeout=30))
    assert drain.is_set


def test_it_wakes_the_loop_from_another_thread() -> None:
    drain = DrainRequest()

    async def serve() -> None:
        waiting = asyncio.create_task(drain.wait())
        await asyncio.sleep(0)  # it waits
        await asyncio.to_thread(drain.set)
        await asyncio.wait_for(waiting, timeout=30)

    asyncio.run(serve())


def test_asking_while_the_loop_ends_fails_nobody() -> None:
    drain = DrainRequest()
    over = threading.Event()

    def ask() -> None:
        while not over.is_set():
            drain.set()

    with ThreadPoolExecutor() as threads:
        asking = threads.submit(ask)
        try:
            for _ in range(100):
                asyncio.run(drain.wait())
        finally:
            over.set()
        asking.result(timeout=60)
