"""How a program of ours starts a stack of its own: the command, and a port for it."""

from __future__ import annotations

import random
import socket
import sys
from contextlib import suppress
from pathlib import Path

from .layout import HOST, ROOT

LOWEST_PORT = 10_000
TRIES = 50


def start_command(
    var: Path,
    *,
    port: int,
    root: Path = ROOT,
    demo: bool = True,
    python: str = sys.executable,
) -> list[str]:
    """What runs a stack, with all that it keeps in `var`, until it gets SIGINT or SIGTERM.

    `root` is the checkout whose code it runs, `python` the interpreter with what that needs.
    """
    script = root / "scripts" / "run_stack.py"
    command = [python, str(script), "--port", str(port), "--var", str(var)]
    return command if demo else [*command, "--no-demo"]


def free_port() -> int:
    """Return a port that nobody listens on, and that the system gives to nobody by itself.

    Until the stack listens, connections of others are given ports; one of these could be it.
    """
    given = Path("/proc/sys/net/ipv4/ip_local_port_range")
    first = int(given.read_text().split()[0]) if given.exists() else 0
    others = range(LOWEST_PORT, first)
    for port in random.sample(others, k=min(TRIES, len(others))):
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
