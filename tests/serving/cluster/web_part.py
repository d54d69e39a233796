"""A web process's part in the cluster, in a thread: it links to replicas and says what it sees."""

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import redis
from django.conf import settings
from redis.asyncio import Redis

from serving.cluster.membership.directory import read_directory
from serving.cluster.membership.views import WebView, publish_view, withdraw_view
from serving.engine.engine import Engine, EngineSpec
from serving.rpc.tcp.credentials import Credentials
from serving.web.links import ReplicaLinks
from tests.serving.cluster.samples import SEAL

LOOK_S = 0.1
ROOT = Path(__file__).resolve().parents[3]


class WebPart:
    """Follows the directory of one Redis from `start` to `stop`."""

    def __init__(self, *, redis_url: str, id: str = "web") -> None:
        self._url = redis_url
        self._id = id
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name=id)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(timeout=20)

    async def _run(self) -> None:
        engine = Engine(EngineSpec(cache_bytes=0))
        credentials = Credentials(secret=settings.CLIPPER_CLUSTER_SECRET.encode())
        links = ReplicaLinks(engine, credentials=credentials, on_change=lambda: None)
        async with Redis.from_url(self._url) as client:
            while not self._over.is_set():
                await self._look(client, links=links)
                await asyncio.sleep(LOOK_S)
            await withdraw_view(client, self._id)
        await links.close()
        engine.close()

    async def _look(self, client: Redis, *, links: ReplicaLinks) -> None:
        with suppress(redis.RedisError):  # tests stop Redis
            listing = await read_directory(client, seal=SEAL)
            links.sync(listing.records)
            view = WebView(
                id=self._id, host=socket.gethostname(), pid=os.getpid(), links=links.views()
            )
            await publish_view(client, view)


class WebProcess:
    """The same in a process of its own, which a command such as `ip netns exec NAME` starts."""

    def __init__(self, *, redis_url: str, by: Sequence[str]) -> None:
        self._command = [*by, sys.executable, "-m", __name__, redis_url]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(self._command, cwd=ROOT, stdin=subprocess.PIPE)

    def stop(self) -> None:
        if self._process is not None:
            self._process.communicate(timeout=30)  # closes what it waits for


def main() -> None:
    part = WebPart(redis_url=sys.argv[1])
    part.start()
    sys.stdin.read()
    part.stop()


if __name__ == "__main__":
    main()
