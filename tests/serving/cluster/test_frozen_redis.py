"""Workers leave a Redis that is silent, but closes no connection, for the one in its place."""

import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from celery import Celery

from tests.redis_server import RedisServer, redis_server
from tests.serving.cluster.wait_until import wait_for

ROOT = Path(__file__).resolve().parents[3]
# A worker of ours with a task more, which adds a line to a file.
WORKER = """
import sys
from clipper_site import worker

path = sys.argv.pop(1)

@worker.app.task(name="tests.note")
def note(line):
    with open(path, "a") as notes:
        notes.write(line + "\\n")

sys.exit(worker.main())
"""
# The timers of the worker come to some 8 s; with Celery's own it is 51 s, or never.
WITHIN_S = 40.0


class Proxy:
    """Passes each connection on to the Redis that is `behind` as it comes, and keeps it there."""

    def __init__(self, behind: RedisServer) -> None:
        self.behind = behind
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self._listening.getsockname()[1]}/0"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listening.close()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.behind.socket)
                for ends in ((client, server), (server, client)):
                    threading.Thread(target=_pump, args=ends, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with source, suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextmanager
def worker(pool: str, *, redis_url: str, folder: Path) -> Iterator[Callable[[], list[str]]]:
    """Run a worker, and give what returns its lines."""
    notes = folder / "notes"
    notes.touch()
    settings = {
        "REDIS_URL": redis_url,
        "CLIPPER_VAR": str(folder),
        "CLIPPER_PRELOAD_SKLEARN": "0",
    }
    options = ["-Q", "notes", "-P", pool, "-c", "1"]
    process = subprocess.Popen(
        [sys.executable, "-c", WORKER, str(notes), *options],
        cwd=ROOT,
        env={**os.environ, **settings},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield lambda: notes.read_text().split()
    finally:
        process.terminate()
        process.wait(timeout=60)


def send(line: str, *, to: RedisServer) -> None:
    with Celery(broker=f"redis+socket://{to.socket}") as app:
        app.send_task("tests.note", (line,), queue="notes", ignore_result=True)


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_worker_consumes_again_behind_a_frozen_redis(pool: str, tmp_path: Path) -> None:
    with redis_server() as first, redis_server() as second:
        proxy = Proxy(first)
        try:
            with worker(pool, redis_url=proxy.url, folder=tmp_path) as notes:
                send("before", to=first)
                wait_for(lambda: notes() == ["before"], within_s=120, what="the worker is up")
                with first.stopped():
                    proxy.behind = second
                    send("after", to=second)
                    wait_for(
                        lambda: notes() == ["before", "after"], within_s=WITHIN_S, what="a task"
                    )
        finally:
            proxy.close()
