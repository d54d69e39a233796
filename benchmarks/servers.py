"""The servers that are measured: a stack of the benchmark's own, and the echo server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from scripts.stack.command import free_port, start_command
from scripts.stack.layout import HOST, ROOT
from scripts.stack.processes import dying_with_its_parent

STACK_SECONDS = 240.0
ECHO_SECONDS = 20.0
STOP_SECONDS = 60.0
LOOK_AGAIN_SECONDS = 0.1
LOG_TAIL = 25

# Nothing else: settings of this shell must not decide how fast the servers are.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "CLIPPER_WEB_WORKERS", "CLIPPER_CPU_SLOTS")


class ServerFailed(Exception):
    """A server did not come up; the message holds the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    url: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack(Server):
    api_key: str

    def client(self) -> httpx.Client:
        """A client with the key that has every scope."""
        return httpx.Client(
            base_url=self.url, headers={"Authorization": f"Api-Key {self.api_key}"}, timeout=30.0
        )


@contextmanager
def running_stack(folder: Path, *, settings: Mapping[str, str] | None = None) -> Iterator[Stack]:
    """Start the whole stack with its demo; its state goes to `folder`, which must be empty.

    `settings` are variables of its environment beyond those of the shell that are kept.
    """
    var, port = folder / "var", free_port()
    url = f"http://{HOST}:{port}"

    def up() -> bool:
        return (var / "demo.json").exists() and answers(f"{url}/health/ready")

    command, log = start_command(var, port=port), folder / "stack.log"
    with running(command, log=log, up=up, seconds=STACK_SECONDS, settings=settings) as pid:
        demo = json.loads((var / "demo.json").read_text())
        yield Stack(url=url, pid=pid, api_key=demo["api_key"])


@contextmanager
def running_echo(folder: Path) -> Iterator[Server]:
    """Start the echo application on Granian, a server whose HTTP part is native code."""
    port = free_port()
    command = echo_command(port)
    up = lambda: _connects(port)  # noqa: E731
    with running(command, log=folder / "echo.log", up=up, seconds=ECHO_SECONDS) as pid:
        yield Server(url=f"http://{HOST}:{port}", pid=pid)


def echo_command(port: int) -> list[str]:
    program = [sys.executable, "-m", "granian", "--interface", "asgi", "--loop", "uvloop"]
    address = ["--host", HOST, "--port", str(port), "--workers", "1"]
    limits = ["--backlog", "4096", "--backpressure", "4096", "--no-access-log"]
    return [*program, *address, *limits, "benchmarks.echo:application"]


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables[name] for name in KEPT if name in variables}


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


def _connects(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((HOST, port)) == 0


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    up: Callable[[], bool],
    seconds: float,
    settings: Mapping[str, str] | None = None,
) -> Iterator[int]:
    """Hold the process as long as the block runs, and end it in every case."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**clean_environment(os.environ), **(settings or {})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C in the terminal is for us alone: we stop the servers in order.
            start_new_session=True,
            preexec_fn=dying_with_its_parent(),
        )
    try:
        _wait_until(up, process=process, log=log, seconds=seconds)
        yield process.pid
    finally:
        _stop(process)


def _wait_until(
    up: Callable[[], bool], *, process: subprocess.Popen[bytes], log: Path, seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while not up():
        if process.poll() is not None:
            raise ServerFailed(f"It ended with exit code {process.returncode}:\n{_tail(log)}")
        if time.monotonic() > deadline:
            raise ServerFailed(f"It isn't up after {seconds:.0f} s:\n{_tail(log)}")
        time.sleep(LOOK_AGAIN_SECONDS)


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
