"""Keeps a number of processes of one kind alive, and replaces them one by one.

SIGHUP replaces each of them: the next one starts beside it, and only once that is ready the old one
retires. SIGTERM has all of them answer what they were asked, and end.
"""

import asyncio
import logging
import signal
import socket
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from time import monotonic

from core.loop.background_tasks import end_tasks
from serving.master.child import Child, NeverReady
from serving.master.listening import stop_listening

# So long a process may take to answer what it has been asked, and to write what it keeps. That and
# a second more, after which it is killed, is less than supervisord waits (`stopwaitsecs`).
DRAIN_S = 13.0
# So long before that it may go on as before, so that load balancers send their clients elsewhere.
LAME_DUCK_S = 8

logger = logging.getLogger(__name__)

Tell = Callable[[str], None]


class RestartFailed(Exception):
    """A process could not be replaced, and goes on; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterSpec:
    """The command to run `workers` times, each with all of the sockets.

    The times are the longest that a process may take to get ready, to drain, and to end once
    another has replaced it.
    """

    name: str
    command: Sequence[str]
    workers: int
    sockets: Mapping[str, socket.socket]
    ready_s: float
    drain_s: float
    retire_s: float


@dataclass(slots=True, eq=False)
class Seat:
    """Place of one process, with the failures of those before it."""

    child: Child | None = None
    # That died since one was steady, and when there is the next one.
    failures: int = 0
    next_start: asyncio.TimerHandle | None = None

    def forget_next_start(self) -> None:
        if self.next_start is not None:
            self.next_start.cancel()
            self.next_start = None


class Master:
    """Owns all of the processes; made on the event loop that runs it."""

    def __init__(self, spec: MasterSpec) -> None:
        self.spec = spec
        # `unready`: ended for not being ready in time, or never started.
        self.counts = Counter(starts=0, unready=0, deaths=0, replaced=0, refused=0)
        self.seats = [Seat() for _ in range(spec.workers)]
        self._children: set[Child] = set()
        self._stopping = asyncio.Event()
        self._replacing = asyncio.Lock()
        self._asked_again = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until SIGTERM or SIGINT; every process has ended by then."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        loop.add_signal_handler(signal.SIGCHLD, self._reap)
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            for seat in self.seats:
                self._fill(seat)
            await self._stopping.wait()
        finally:
            await self._end_all()

    async def replace_all(self, tell: Tell) -> None:
        """Replace each process. Raises RestartFailed at the first that can't be; it stays."""
        await self._turn(tell)
        try:
            for seat in self.seats:
                try:
                    await self._replace(seat, tell)
                except NeverReady as error:
                    self.counts.update(["unready", "refused"])
                    logger.error("%s: the restart failed: %s", self.spec.name, error)
                    raise RestartFailed(str(error)) from None
        finally:
            self._replacing.release()

    async def _turn(self, tell: Tell) -> None:
        """Wait until no other restart is under way; whoever asked hears of it meanwhile."""
        while True:
            try:
                # `make restart` gives up after some silence.
                async with asyncio.timeout(15.0):
                    await self._replacing.acquire()
                return
            except TimeoutError:
                tell("another restart is under way")

    def counted(self) -> dict[str, int]:
        """Return what has happened, and `in_a_row`: how many died soon after each other, so far."""
        in_a_row = (0 if _is_steady(seat.child) else seat.failures for seat in self.seats)
        return {**self.counts, "in_a_row": max(in_a_row, default=0)}

    # Processes, each in its place.

    def _start(self, *, replaces: bool) -> Child:
        """Start a process. Raises NeverReady where the system, or the master's end, forbids it."""
        if self._stopping.is_set():
            raise NeverReady("the master ends")
        try:
            child = Child(self.spec.command, sockets=self.spec.sockets, replaces=replaces)
        except OSError as error:
            raise NeverReady(f"no process can be started: {error}") from None
        self._children.add(child)
        self.counts["starts"] += 1
        return child

    def _fill(self, seat: Seat) -> None:
        """Start a process in a seat that has none."""
        seat.next_start = None
        try:
            seat.child = child = self._start(replaces=False)
        except NeverReady as error:
            self.counts["unready"] += 1
            self._start_later(seat, why=str(error))
            return
        logger.info("%s: process %d starts", self.spec.name, child.pid)
        self._spawn(self._watch(child))

    async def _watch(self, child: Child) -> None:
        """End a process that doesn't get ready."""
        try:
            await child.until_ready(seconds=self.spec.ready_s)
        except NeverReady as error:
            self.counts["unready"] += 1
            logger.error("%s: %s", self.spec.name, error)
            child.signal(signal.SIGKILL)
        else:
            logger.info("%s: process %d is ready", self.spec.name, child.pid)

    async def _replace(self, seat: Seat, tell: Tell) -> None:
        before = seat.child
        child = self._start(replaces=before is not None and before.is_ready)
        tell(f"process {child.pid} starts" + (f" beside {before.pid}" if before else ""))
        try:
            await child.until_ready(seconds=self.spec.ready_s)
        except NeverReady:
            await self._end(child, seconds=1.0)
            raise
        # The one before may have died meanwhile, and there may be another in its place.
        before, seat.child = seat.child, child
        seat.forget_next_start()
        seat.failures = 0
        self.counts["replaced"] += 1
        tell(f"process {child.pid} is ready")
        if before is not None:
            before.retire()
            in_time = await before.until_ended(seconds=self.spec.retire_s)
            how = "has ended" if in_time else "was killed: it took too long"
            tell(f"process {before.pid} {how}")

    def _reap(self) -> None:
        for child in [child for child in self._children if child.reap()]:
            self._children.discard(child)
            seat = next((seat for seat in self.seats if seat.child is child), None)
            if seat is not None and not self._stopping.is_set():
                seat.child = None
                self.counts["deaths"] += 1
                if _is_steady(child):
                    seat.failures = 0
                self._start_later(seat, why=f"process {child.pid} {child.ending()}")

    def _start_later(self, seat: Seat, *, why: str) -> None:
        """Have another one started: at once, or after a pause that grows while they die soon."""
        pause = min(30.0, 0.5 * 2 ** min(seat.failures - 1, 10)) if seat.failures else 0.0
        seat.failures += 1
        logger.warning("%s: %s; the next one starts in %g s", self.spec.name, why, pause)
        seat.next_start = asyncio.get_running_loop().call_later(pause, self._fill, seat)

    # The end.

    async def _end_all(self) -> None:
        self._stopping.set()
        for seat in self.seats:
            seat.forget_next_start()
        await end_tasks(self._tasks)
        await asyncio.gather(
            *(self._end(child, seconds=self.spec.drain_s) for child in self._children)
        )
        for listening in self.spec.sockets.values():
            stop_listening(listening)

    async def _end(self, child: Child, *, seconds: float) -> None:
        child.signal(signal.SIGTERM)
        if not await child.until_ended(seconds=seconds):
            logger.warning("%s: process %d was killed: it took too long", self.spec.name, child.pid)

    # Signals.

    def _on_hangup(self) -> None:
        """Replace all; however often that is asked meanwhile, once more is enough."""
        if not self._asked_again:
            self._asked_again = True
            self._spawn(self._restart_for_signal())

    async def _restart_for_signal(self) -> None:
        async with self._replacing:
            self._asked_again = False
        with suppress(RestartFailed):  # the log says so
            await self.replace_all(lambda line: logger.info("%s: %s", self.spec.name, line))

    def _spawn(self, work: Coroutine[object, object, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _is_steady(child: Child | None) -> bool:
    return child is not None and child.is_ready and monotonic() - child.started_at >= 10.0
