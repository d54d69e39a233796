"""How a program of ours starts a stack of its own: the command, and a port for it."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from .layout import HOST, ROOT


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
    """Return a port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port
