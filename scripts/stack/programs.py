"""The programs of a running stack, by its supervisord."""

from __future__ import annotations

import xmlrpc.client
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPException

from supervisor.xmlrpc import SupervisorTransport  # type: ignore[import-untyped]

from .errors import StackError
from .layout import Layout, keep_secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One of them as it is: its state in supervisord's words, and when it was started last."""

    name: str
    state: str
    pid: int = 0
    started_at: float = 0.0

    @property
    def runs(self) -> bool:
        """Whether it does, or is about to."""
        return self.state in ("RUNNING", "STARTING")

    @property
    def is_stopped(self) -> bool:
        """Whether somebody has stopped it, or nobody has started it; else it runs, or is broken."""
        return self.state == "STOPPED"


class Supervisor:
    """The supervisord of a running stack."""

    def __init__(self, layout: Layout) -> None:
        path = layout.run_dir / "supervisor.sock"
        if not path.exists():
            raise StackError(f"No stack runs in '{layout.var}'.")
        password = keep_secret(layout.control_password)
        transport = SupervisorTransport("clipper", password, f"unix://{path}")
        # The address is of no use, but has to be one.
        self._proxy = xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport)

    def programs(self) -> dict[str, Program]:
        """What it was started with, by name."""
        found = self._ask("supervisord can't be asked", "getAllProcessInfo")
        assert isinstance(found, list)
        return {
            each["name"]: Program(
                name=each["name"],
                state=each["statename"],
                pid=each.get("pid", 0),
                started_at=each.get("start", 0.0),
            )
            for each in found
        }

    def restart(self, program: str) -> None:
        """Stop a program, and start it; returns once it has run for a moment."""
        self._ask(f"{program} can't be stopped", "stopProcess", program)
        self._ask(f"{program} did not start again", "startProcess", program)

    def start(self, program: str) -> None:
        """Returns once it has run for a moment; where it can't, it stays stopped."""
        try:
            self._ask(f"{program} did not start", "startProcess", program)
        except StackError:
            with suppress(StackError):  # it was never tried, or has been given up
                self.stop(program)
            raise

    def stop(self, program: str) -> None:
        """Returns once it has ended."""
        self._ask(f"{program} can't be stopped", "stopProcess", program)

    def _ask(self, fault: str, method: str, *arguments: str) -> object:
        try:
            answer: object = getattr(self._proxy.supervisor, method)(*arguments)
        except (OSError, HTTPException, xmlrpc.client.Error) as error:
            raise StackError(f"{fault}: {error}") from error
        return answer
