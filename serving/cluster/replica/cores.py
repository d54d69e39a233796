"""Keeps replicas off the core of a busy predict process, on a machine that has two.

Linux wakes a replica on the core of whoever sends it a batch, unless another one is idle at that
very moment. Where anything else runs there, however nice it is, replica and predict process share a
core and wait for each other's turns, though the other one has room. So where the replicas need well
below a core, the predict process keeps the one that it is on, and they get the other.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from infrastructure.giving_way import core_times

logger = logging.getLogger(__name__)

# It was measured on so many; of more, one is idle more often.
CORES = 2
# In cores that are kept busy. Below the first it is all the same who runs where. The second fits
# beside whatever else there is. Beyond the third the replicas need all cores; it's well above, as
# those that needn't wait answer smaller batches, for half as much again of a core.
BUSY, FITTING, TOO_MUCH = 0.25, 0.6, 0.95
# Of what replicas do, their busiest thread does so much: others would be parallel to it.
FOREMOST = 0.75
# A busy predict process that waits more than this part of the time in which it could work has its
# core with others, and can't go to another one.
CROWDED = 0.5
# Where it was no good for a busy one the kernel decides for so long.
LEFT_ALONE_S = 10.0
# A second tells little of the next one, and less than half of one nothing.
KEPT, LEAST_S = 0.5, 0.5
# In /proc/PID/stat, behind the name: on which core it was last.
PROCESSOR = 36
PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """In cores: what the predict process' thread keeps busy and waits for, what the replicas'
    threads keep busy, and what the busiest of these does.
    """

    predict: float = 0.0
    waiting: float = 0.0
    replicas: float = 0.0
    foremost: float = 0.0

    def __str__(self) -> str:
        return (
            f"predict={self.predict:.2f} waiting={self.waiting:.2f}"
            f" replicas={self.replicas:.2f} foremost={self.foremost:.2f}"
        )

    def then(self, later: Usage) -> Usage:
        """What is needed counts at once, and is forgotten slowly. One long wait says little, and
        nothing where there was little to do.
        """
        return Usage(
            predict=max(later.predict, _faded(self.predict, later.predict)),
            waiting=_faded(self.waiting, later.waiting if later.is_busy else 0.0),
            replicas=max(later.replicas, _faded(self.replicas, later.replicas)),
            foremost=max(later.foremost, _faded(self.foremost, later.foremost)),
        )

    @property
    def belong_apart(self) -> bool:
        """Whether the predict process is to have a core for itself."""
        alone = self.foremost >= FOREMOST * self.replicas
        return self.is_busy and self.replicas <= FITTING and alone

    @property
    def may_stay_apart(self) -> bool:
        """Whether it does no harm. A pause is no reason to begin anew afterwards."""
        crowded = self.waiting > max(BUSY, CROWDED * (self.predict + self.waiting))
        return self.replicas <= (TOO_MUCH if self.is_busy else FITTING) and not crowded

    @property
    def is_busy(self) -> bool:
        return self.predict >= BUSY


def _faded(before: float, later: float) -> float:
    return KEPT * before + (1 - KEPT) * later


class Metering(Protocol):
    """Whatever tells, of the predict process and the replicas' threads, what they do."""

    def forget(self) -> None: ...

    def read(self, predict: int, *, threads: Iterable[int], at: float) -> Usage: ...


class Apart:
    """For a worker's main process, which calls `look` each second.

    `predict` returns the predict processes of this host, `replicas` the worker's own processes for
    replicas; what these start counts as well.
    """

    def __init__(
        self,
        *,
        predict: Callable[[], Collection[int]],
        replicas: Callable[[], Iterable[int]],
        meter: Metering | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._predict = predict
        self._replicas = replicas
        self._meter = meter or Meter(niceness=os.getpriority(os.PRIO_PROCESS, 0))
        self._clock = clock
        self._cores = os.sched_getaffinity(0)
        self._usage = Usage()
        self._of: int | None = None
        # Where the predict process that has a core for itself was allowed to run before.
        self._before: set[int] | None = None
        self._left_alone_until = 0.0
        self._looked_at: float | None = None

    def look(self) -> None:
        """See who needs how much, and have them run apart or wherever the kernel likes."""
        now = self._clock()
        if self._looked_at is not None and now - self._looked_at < LEAST_S:
            return
        self._looked_at = now
        self._look(now)

    def _look(self, now: float) -> None:
        found = self._predict()
        (pid,) = found if len(found) == 1 else (None,)
        if pid != self._of:
            self.end()
            self._of, self._usage = pid, Usage()
            self._meter.forget()
        if pid is None:
            return
        threads = [thread for process in self._replicas() for thread in threads_below(process)]
        self._usage = self._usage.then(self._meter.read(pid, threads=threads, at=self._clock()))
        if self._before is not None and not self._usage.may_stay_apart:
            if self._usage.is_busy:
                self._left_alone_until = now + LEFT_ALONE_S
            self.end()
        elif self._before is not None or self._belong_apart(now):
            self._separate(pid, threads=threads)

    def end(self) -> None:
        """Have everybody run wherever the kernel likes again."""
        if self._before is None or self._of is None:
            return
        told = "replicas may use the core of predict process pid=%d again; busy: %s"
        logger.info(told, self._of, self._usage)
        for thread in threads_below(self._of):
            _move(thread, to=self._before)
        self._before = None
        for process in self._replicas():
            for thread in threads_below(process):
                _move(thread, to=self._cores)

    def _belong_apart(self, now: float) -> bool:
        return now >= self._left_alone_until and self._usage.belong_apart

    def _separate(self, pid: int, *, threads: Iterable[int]) -> None:
        try:
            allowed = os.sched_getaffinity(pid)
            core = next(iter(allowed)) if len(allowed) == 1 else core_of(pid)
            if core not in self._cores:
                return
            os.sched_setaffinity(pid, {core})
        except OSError:  # it has ended, or a sandbox doesn't let it
            return
        if self._before is None:
            self._before = allowed
            told = "replicas keep off core %d, of predict process pid=%d; busy: %s"
            logger.info(told, core, pid, self._usage)
        for thread in threads_below(pid):
            if thread != pid:  # what it has started since is kept on its core, too
                _move(thread, to=self._before)
        for thread in threads:
            _move(thread, to=self._cores - {core})


class Meter:
    """Reads the kernel's account of each thread: what it has done since it was read before."""

    def __init__(self, *, niceness: int) -> None:
        self._niceness = niceness
        self.forget()

    def forget(self) -> None:
        self._at: float | None = None
        self._run: dict[int, int] = {}
        self._waited = 0

    def read(self, predict: int, *, threads: Iterable[int], at: float) -> Usage:
        """Nothing at first. A thread that is nicer than the worker loads a model: it can wait."""
        before, at_before, waited_before = self._run, self._at, self._waited
        run, self._waited = core_times(PROC / f"{predict}/schedstat") or (0, 0)
        self._run, self._at = {predict: run}, at
        for thread in threads:
            with suppress(OSError):  # it has ended
                if os.getpriority(os.PRIO_PROCESS, thread) <= self._niceness:
                    times = core_times(PROC / f"{thread}/schedstat")
                    self._run[thread] = times[0] if times else 0
        if at_before is None or at <= at_before:
            return Usage()
        since_ns = 1e9 * (at - at_before)
        cores = {
            thread: max(0, now - before.get(thread, now)) / since_ns
            for thread, now in self._run.items()
        }
        predicting = cores.pop(predict)
        return Usage(
            predict=predicting,
            waiting=max(0, self._waited - waited_before) / since_ns,
            replicas=sum(cores.values()),
            foremost=max(cores.values(), default=0.0),
        )


def threads_below(process: int) -> Iterator[int]:
    """The threads of a process, and of all that it and they have started."""
    with suppress(OSError):  # it has ended
        for thread in (PROC / f"{process}/task").iterdir():
            yield int(thread.name)
            with suppress(OSError):
                for child in (thread / "children").read_text().split():
                    yield from threads_below(int(child))


def core_of(thread: int) -> int:
    """The core that it was on last. Raises OSError."""
    return int((PROC / f"{thread}/stat").read_text().rpartition(")")[2].split()[PROCESSOR])


def _move(thread: int, *, to: set[int]) -> None:
    with suppress(OSError):  # it has ended, or a sandbox doesn't let it
        if os.sched_getaffinity(thread) != to:
            os.sched_setaffinity(thread, to)
