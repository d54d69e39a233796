"""`make restart`: replaces the processes of a running stack, one kind after the other."""

import argparse
import os
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from clipper_site.stack.environment import environment_of_running
from clipper_site.stack.layout import (
    LISTENS_ON,
    Layout,
    layout_of,
    sole_restart_of,
    usable_host,
    usable_port,
    usable_var,
)
from clipper_site.stack.site_files import collect_static
from clipper_site.stack.supervision import Program, Supervisor, lines_of, manage
from clipper_site.stack.terminal import StackError, say
from serving.master.orders import RESTART, OrderFailed, ordered

# Programs with a master, in the order in which they are replaced.
MASTERS = ("predict", "console")
# Programs that nobody waits for: stopped, and started again. It moves replicas, so it comes before
# the workers.
PLAIN = ("control",)
# Of each there are two programs, of which one runs.
WORKERS = ("cpu-worker", "gpu-worker")


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        layout = layout_of_running(usable_var(options.var))
        restart(layout, programs=options.only or usual(os.environ))
    except StackError as error:
        print(f"clipper: {error}", file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        said = "broken off: what runs goes on, and the restart can be called again."
        print(f"clipper: {said}", file=sys.stderr, flush=True)
        return 1
    return 0


def layout_of_running(var: Path) -> Layout:
    """Take on the environment of the stack in `var`. Raises StackError if it runs other code."""
    script = layout_of(var, port=0).environment_script
    if script.exists():
        stack = environment_of_running(script)
        theirs = Path(stack.get("CLIPPER_PYTHON", sys.executable))
        if theirs.parent != Path(sys.executable).parent:
            raise StackError(
                f"The stack in {var} runs what {theirs} has, this is {sys.executable}: upgrade it "
                "there, or end it with Ctrl-C and start it from here."
            )
        os.environ.clear()
        os.environ.update(stack)
    return layout_of(
        var,
        port=usable_port(os.environ.get("CLIPPER_PORT", "8000")),
        host=usable_host(os.environ.get(LISTENS_ON, "")),
    )


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


def usual(environment: Mapping[str, str]) -> tuple[str, ...]:
    """The programs of a stack: without slots for GPUs there is no worker for these."""
    workers = WORKERS if environment.get("CLIPPER_GPU_WORKER") == "true" else WORKERS[:1]
    return (*MASTERS, *PLAIN, *workers)


def restart(layout: Layout, *, programs: Sequence[str]) -> None:
    """Replace these programs, as far as they run; raises StackError at the first fault."""
    supervisor = Supervisor(layout)
    running, broken = [], []
    with sole_restart_of(layout.var):
        known = supervisor.programs()
        for program in programs:
            names = pair_of(program) if program in WORKERS else (program,)
            if not known.keys() >= set(names):
                raise StackError(
                    f"The running stack has no program {program}, as it is of an older release: "
                    "end it with Ctrl-C and start it again."
                )
            present = _present([known[name] for name in names])
            if present.runs:
                running.append(program)
                continue
            say(f"{program}: left alone, as it doesn't run ({present.state.lower()})")
            if not present.is_stopped:
                broken.append(program)
        if running:
            _restart(running, layout=layout, supervisor=supervisor)
    if broken:
        raise StackError(
            f"{' and '.join(broken)}: broken before; the log in {layout.logs} says why."
        )


def _present(either: Sequence[Program]) -> Program:
    """Return the one of a worker's two programs that runs, or else the broken one."""
    return max(either, key=lambda program: (program.runs, not program.is_stopped))


def _restart(running: Sequence[str], *, layout: Layout, supervisor: Supervisor) -> None:
    say("Preparing the database ...")
    manage("migrate", "--noinput", "--verbosity=0", environment=os.environ)
    collect_static(layout, environment=os.environ, beside_old=True)
    for program in running:
        began = time.monotonic()
        if program in MASTERS:
            replace(program, orders=layout.run_dir / f"{program}.master")
        elif program in WORKERS:
            Replacing(program, supervisor=supervisor, logs=layout.logs).run()
        else:
            supervisor.restart(program)
        say(f"{program}: restarted in {time.monotonic() - began:.1f} s")


def replace(program: str, *, orders: Path) -> None:
    """Have a master replace its processes, and say how that goes."""
    try:
        # A master says something whenever a process starts, is ready or has ended.
        for line in ordered(RESTART, path=orders, seconds=90.0):
            say(f"{program}: {line}")
    except OrderFailed as error:
        raise StackError(
            f"{program} was not restarted, and goes on as it is: {error}. "
            f"More is in the log of {program}."
        ) from error


# Moves the replicas of a worker to others, line by line; another one may be started after the first
# line. Raises StackError.
Move = Callable[[Program], Generator[str]]


def move_replicas(program: Program) -> Generator[str]:
    return lines_of("retire_worker", str(program.pid), environment=os.environ)


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
                self._end(running[0], lines=self._move(running[0]))
            except StackError as error:
                raise self._not_restarted(error, log=running[1].name) from error
        before = running[-1]
        self._hand_over(before, to=second if before.name == first else first)

    def _hand_over(self, before: Program, *, to: str) -> None:
        """Start that program, move every replica there, and stop the one before."""
        with closing(self._move(before)) as lines:
            try:
                self._say(next(lines))
                self._supervisor.start(to)
            except StackError as error:
                raise self._not_restarted(error, log=to) from error
            after = self._supervisor.programs()[to]
            say(f"{self._kind}: process {after.pid} starts beside {before.pid}")
            try:
                self._end(before, lines=lines)
            except StackError as error:
                self._take_back(after)
                raise self._not_restarted(error, log=to) from error

    def _end(self, program: Program, *, lines: Iterator[str]) -> None:
        """Move the replicas of a worker, which yields `lines`, and stop it. Raises StackError."""
        for line in lines:
            self._say(line)
        self._supervisor.stop(program.name)
        say(f"{self._kind}: process {program.pid} has ended")

    def _take_back(self, after: Program) -> None:
        """Move back what has moved; if it can't, it is better off where it is."""
        say(f"{self._kind}: process {after.pid} is given up, and what has moved there moves back")
        try:
            self._end(after, lines=self._move(after))
        except StackError as error:
            say(f"{self._kind}: process {after.pid} goes on all the same: {error}")

    def _say(self, line: str) -> None:
        say(f"{self._kind}: {line}")

    def _not_restarted(self, error: StackError, *, log: str) -> StackError:
        return StackError(
            f"{self._kind} was not restarted, and goes on as it is: {str(error).rstrip('.')}. "
            f"More is in {self._logs / log}.log."
        )


def pair_of(kind: str) -> tuple[str, str]:
    """The two programs of a worker, in supervisord.conf."""
    return kind, f"{kind}-2"


if __name__ == "__main__":
    raise SystemExit(main())
