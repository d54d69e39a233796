"""A process that answers queries tells load balancers so, whatever else is away, until it ends."""

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from clipper_site.stack.environment import environment_of_running
from clipper_site.stack.layout import free_port
from tests.integration.conftest import Digits
from tests.integration.stack import TRUSTS_NOBODY, Stack, eventually, post

SECONDS = 120.0
NEVER_S = "60"


def status(url: str, what: str) -> int:
    try:
        return httpx.get(f"{url}/health/{what}", timeout=20.0, verify=TRUSTS_NOBODY).status_code
    except httpx.HTTPError:
        return 0


@pytest.mark.parametrize("away", ["redis", "console"])
def test_it_serves_without_redis_and_without_the_console(
    stack: Stack, digits: Digits, away: str
) -> None:
    with stack.without(away), stack.client() as client:
        ready = 503 if away == "redis" else 200
        eventually(lambda: status(stack.url, "ready") == ready, seconds=SECONDS, what="noticed")
        assert status(stack.url, "serving") == 200
        assert "output" in post(client, "digits/predict", {"input": digits[0][0]})


@contextmanager
def another_host(stack: Stack, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """Processes that answer queries as another host has them: with the same database and Redis."""
    port = free_port()
    run_dir = folder / "run"
    run_dir.mkdir()
    environment = environment_of_running(stack.var / "env.sh") | {
        "CLIPPER_RUN_DIR": str(run_dir),
        "CLIPPER_LAME_DUCK_S": NEVER_S,
        "PATH": "/usr/bin:/bin",
    }
    command = [environment["CLIPPER_PYTHON"], "-m"]
    process = subprocess.Popen(
        [
            *(*command, "serving.master", "predict", "--listen", f"http=127.0.0.1:{port}"),
            *("--", *command, "serving.http.server", "clipper_site.predict_asgi:application"),
        ],
        env=environment,
        cwd=stack.root,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        eventually(lambda: status(url, "serving") == 200, seconds=SECONDS, what="it serves")
        yield process, url
    finally:
        process.kill()
        process.wait()


def test_told_to_end_it_goes_on_accepting_for_its_time(
    stack: Stack, digits: Digits, tmp_path: Path
) -> None:
    with another_host(stack, tmp_path) as (master, url):
        master.send_signal(signal.SIGTERM)
        eventually(lambda: status(url, "serving") == 503, seconds=SECONDS, what="it drains")
        for _ in range(5):
            with stack.client(base_url=url) as client:
                assert "output" in post(client, "digits/predict", {"input": digits[0][0]})
        # Without a master nobody waits: the next one needs the port.
        master.kill()
        eventually(lambda: status(url, "serving") == 0, seconds=SECONDS, what="the port is free")
