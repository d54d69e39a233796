"""Replaces a worker while it serves: another one starts beside it, and its replicas move there."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from .errors import StackError
from .programs import Program, Supervisor
from .supervision import told_by
from .terminal import say

# Moves the replicas of the first one to the second, line by line; without a second one it prepares
# for that. Raises StackError.
Move = Callable[[Program, Program | None], Iterator[str]]


def move_replicas(program: Program, beside: Program | None) -> Iterator[str]:
    how = ("--ahead",) if beside is None else ("--beside", str(beside.pid))
    return told_by("retire_worker", str(program.pid), *how, environment=os.environ)


class Replacing:
    """One kind of worker: of its two programs one runs, and afterwards it is the other one."""

    def __init__(
        self, kind: str, *, supervisor: Supervisor, logs: Path, move: Move = move_replicas
    ) -> None:
        self._kind = kind
        self._supervisor = supervisor
        self._logs = logs
        self._move = move

    def run(self) -> None:
        """Raises StackError where it can't be replaced; the one before goes on with what it had."""
        programs = self._supervisor.programs()
        first, second = pair_of(self._kind)
        running = sorted(
            (programs[name] for name in (first, second) if programs[name].runs),
            key=lambda program: program.started_at,
        )
        if not running:
            raise StackError(f"{self._kind} has ended meanwhile. Its log in {self._logs} says why.")
        if len(running) == 2:
            say(f"{self._kind}: both programs run, as an earlier restart was broken off")
            try:
                self._end(running[0], beside=running[1])
            except StackError as error:
                raise self._not_restarted(error, log=running[1].name) from error
        before = running[-1]
        self._hand_over(before, to=second if before.name == first else first)

    def _hand_over(self, before: Program, *, to: str) -> None:
        """Start that program, move every replica there, and stop the one before."""
        try:
            self._say_all(self._move(before, None))
            self._supervisor.start(to)
        except StackError as error:
            raise self._not_restarted(error, log=to) from error
        after = self._supervisor.programs()[to]
        say(f"{self._kind}: process {after.pid} starts beside {before.pid}")
        try:
            self._end(before, beside=after)
        except StackError as error:
            self._take_back(after, to=before)
            raise self._not_restarted(error, log=to) from error

    def _end(self, program: Program, *, beside: Program) -> None:
        """Move the replicas of a worker to another one, and stop it. Raises StackError."""
        self._say_all(self._move(program, beside))
        self._supervisor.stop(program.name)
        say(f"{self._kind}: process {program.pid} has ended")

    def _take_back(self, after: Program, *, to: Program) -> None:
        """What has moved moves back; where it can't, it is better off where it is."""
        say(f"{self._kind}: process {after.pid} is given up, and what has moved there moves back")
        try:
            self._end(after, beside=to)
        except StackError as error:
            say(f"{self._kind}: process {after.pid} goes on all the same: {error}")

    def _say_all(self, lines: Iterator[str]) -> None:
        for line in lines:
            say(f"{self._kind}: {line}")

    def _not_restarted(self, error: StackError, *, log: str) -> StackError:
        return StackError(
            f"{self._kind} was not restarted, and goes on as it is: {str(error).rstrip('.')}. "
            f"More is in {self._logs / log}.log."
        )


def pair_of(kind: str) -> tuple[str, str]:
    """The two programs of a worker, in supervisord.conf."""
    return kind, f"{kind}-2"
