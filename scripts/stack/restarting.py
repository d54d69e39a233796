"""`make restart`: replaces the processes of a running stack, one kind after the other.

Those that answer come first, one by one, so that the code and the settings of an upgrade are tried
out on one process before anything else changes: where that can't start, all goes on as before.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import xmlrpc.client
from collections.abc import Sequence
from http.client import HTTPException
from pathlib import Path

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from serving.master.orders import RESTART, OrderFailed, ordered

from . import static_files
from .choices import usable_port, usable_var
from .errors import StackError
from .layout import Layout, layout_of
from .supervision import manage
from .terminal import say

# Programs with a master, in the order in which they are replaced.
MASTERS = ("predict", "console")
# Programs that nobody waits for: stopped, and started again.
PLAIN = ("control",)
WORKERS = ("cpu-worker", "gpu-worker")
# The states of a program that runs, or is about to.
RUNNING = ("RUNNING", "STARTING")
# The state of one that somebody has stopped; in any other it is broken.
STOPPED = "STOPPED"
# A master says something whenever a process starts, is ready or has ended.
SILENCE_SECONDS = 90.0


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        port = usable_port(os.environ.get("CLIPPER_PORT", "8000"))
        layout = layout_of(usable_var(options.var), port=port)
        restart(layout, programs=options.only or (*MASTERS, *PLAIN))
    except StackError as error:
        print(f"clipper: {error}", file=sys.stderr, flush=True)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="restart", description="Replace the processes of a running stack, one by one."
    )
    parser.add_argument("--var", default="var", help="folder of its state (default: var)")
    parser.add_argument(
        "--only",
        action="append",
        choices=(*MASTERS, *PLAIN, *WORKERS),
        metavar="PROGRAM",
        help=f"replace this program ({', '.join((*MASTERS, *PLAIN, *WORKERS))}) and none else; "
        "may be said several times",
    )
    return parser


def restart(layout: Layout, *, programs: Sequence[str]) -> None:
    """Replace these programs, as far as they run; raises StackError at the first fault."""
    supervisor = Supervisor(layout)
    states = supervisor.states()
    if unknown := [program for program in programs if program not in states]:
        raise StackError(
            f"The stack that runs has no program {' or '.join(unknown)}: another release started "
            "it. End it with Ctrl-C and start it with make run."
        )
    for program in programs:
        if states[program] not in RUNNING:
            say(f"{program}: left alone, as it doesn't run ({states[program].lower()})")
    if running := [program for program in programs if states[program] in RUNNING]:
        _restart(running, layout=layout, supervisor=supervisor)
    if broken := [program for program in programs if states[program] not in (*RUNNING, STOPPED)]:
        raise StackError(
            f"{' and '.join(broken)}: broken before; the log in {layout.logs} says why."
        )


def _restart(running: Sequence[str], *, layout: Layout, supervisor: Supervisor) -> None:
    say("Preparing the database ...")
    manage("migrate", "--noinput", "--verbosity=0", environment=os.environ)
    static_files.collect(layout, environment=os.environ)
    for program in running:
        began = time.monotonic()
        if program in MASTERS:
            replace(program, orders=layout.run_dir / f"{program}.master")
        else:
            supervisor.restart(program)
        say(f"{program}: restarted in {time.monotonic() - began:.1f} s")


def replace(program: str, *, orders: Path) -> None:
    """Have a master replace its processes, and say how that goes."""
    try:
        for line in ordered(RESTART, path=orders, seconds=SILENCE_SECONDS):
            say(f"{program}: {line}")
    except OrderFailed as error:
        raise StackError(
            f"{program} was not restarted, and goes on as it is: {error}. "
            f"More is in the log of {program}."
        ) from error


class Supervisor:
    """The supervisord of a running stack."""

    def __init__(self, layout: Layout) -> None:
        path = layout.run_dir / "supervisor.sock"
        if not path.exists():
            raise StackError(f"No stack runs in '{layout.var}'.")
        transport = SupervisorTransport("", "", f"unix://{path}")
        # The address is of no use, but has to be one.
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def states(self) -> dict[str, str]:
        """The state of each program that it was started with, in supervisord's words."""
        try:
            found: object = self._proxy.supervisor.getAllProcessInfo()
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise StackError(f"supervisord can't be asked: {error}") from error
        assert isinstance(found, list)
        return {each["name"]: each["statename"] for each in found}

    def restart(self, program: str) -> None:
        """Stop a program, and start it; returns once it has run for a moment."""
        try:
            self._proxy.supervisor.stopProcess(program)
            self._proxy.supervisor.startProcess(program)
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise StackError(f"{program} did not start again: {error}") from error
