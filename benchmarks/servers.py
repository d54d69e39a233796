"""Servers as processes of the benchmark's own: started, waited for, and ended in every case."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.command import Failed
from clipper_site import ROOT
from clipper_site.stack.layout import HOST, free_port
from clipper_site.stack.processes import dying_with_its_parent

ECHO_SECONDS, STOP_SECONDS, LOOK_AGAIN_SECONDS = 20.0, 60.0, 0.1
LOG_TAIL = 25
# Nothing else: settings of this shell must not decide how fast the servers are.
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "CLIPPER_WEB_WORKERS", "CLIPPER_CPU_SLOTS")
# One thread for every library that may start more: a container has one core, as in the paper.
ONE_THREAD = {
    f"{library}_NUM_THREADS": "1"
    for library in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM")
}


@dataclass(kw_only=True, eq=False)
class Server:
    url: str
    pid: int


@contextmanager
def running_echo(folder: Path) -> Iterator[Server]:
    """Start the echo application on Granian, a server whose HTTP part is native code."""
    port = free_port()
    url = f"http://{HOST}:{port}"
    up = lambda: is_up(url, body='{"input":0}')  # noqa: E731
    command, log = echo_command(port), folder / "echo.log"
    with running(command, log=log, up=up, seconds=ECHO_SECONDS) as process:
        yield Server(url=url, pid=process.pid)


def echo_command(port: int) -> list[str]:
    program = [sys.executable, "-m", "granian", "--interface", "asginl", "--loop", "uvloop"]
    address = ["--host", HOST, "--port", str(port), "--workers", "1"]
    limits = ["--backlog", "4096", "--backpressure", "4096", "--no-access-log"]
    return [*program, *address, *limits, "benchmarks.echo:application"]


def clean_environment(variables: Mapping[str, str]) -> dict[str, str]:
    return {name: variables[name] for name in KEPT if name in variables}


def is_up(url: str, *, body: str | None = None) -> bool:
    """Return if the URL answers with success, to a POST of that JSON or to a GET."""
    method, headers = "GET" if body is None else "POST", {"Content-Type": "application/json"}
    with suppress(httpx.HTTPError):
        return httpx.request(method, url, content=body, headers=headers, timeout=5.0).is_success
    return False


@contextmanager
def running(
    command: Sequence[str],
    *,
    log: Path,
    up: Callable[[], bool],
    seconds: float,
    settings: Mapping[str, str] | None = None,
    stop_seconds: float = STOP_SECONDS,
) -> Iterator[subprocess.Popen[bytes]]:
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
        waited_for(lambda: up() or process.poll() is not None, seconds=seconds, what=f"{log.name}")
        if process.returncode is not None:
            raise Failed(f"It ended with exit code {process.returncode}")
        yield process
    except Failed as error:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL:])
        raise Failed(f"{error}:\n{tail}") from error
    finally:
        stop(process, seconds=stop_seconds)


def stop(process: subprocess.Popen[bytes], *, seconds: float) -> None:
    """Ask it to end, and after a while make it."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def waited_for(
    condition: Callable[[], object],
    *,
    seconds: float,
    what: str,
    every: float = LOOK_AGAIN_SECONDS,
) -> None:
    """Return when the condition holds; Failed where it doesn't after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"Waited {seconds:.0f} s for {what}.")
        time.sleep(every)
