"""A replica is asked to drain by its worker and by the directory, in whichever order they come."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from serving.cluster.replica.drain_request import DrainRequest


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
