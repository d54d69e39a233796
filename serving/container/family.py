"""The processes of one model: which they are, what memory they hold, and their end.

No model can leave its group of processes (`serving.container.syscalls`). So the group has all that
it started, also a process whose parent has ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from serving.container.mounts import used_bytes

# Libraries start one or two processes for each core, each with a thread for each of some tasks.
MOST_PROCESSES = 100 + 2 * (os.cpu_count() or 1)
MOST_THREADS = 20 * MOST_PROCESSES


class Process(NamedTuple):
    """What the kernel tells of a process that runs."""

    parent: int
    group: int
    threads: int


def read_processes() -> dict[int, Process]:
    """Return every process that runs, by its id; none on a system without /proc."""
    found = {}
    for name in (folder.name for folder in Path("/proc").glob("[0-9]*")):
        with suppress(OSError), open(f"/proc/{name}/stat", "rb", 0) as told:  # noqa: PTH123  # faster
            # "pid (name) state parent group ...", where the name may hold spaces and brackets.
            state, parent, group, *rest = told.read().rpartition(b")")[2].split()
            if state not in b"ZX":
                found[int(name)] = Process(int(parent), int(group), int(rest[14]))
    return found


def family_of(pid: int, processes: Mapping[int, Process]) -> set[int]:
    """Return a process, all that it started, and all in the groups that one of these leads."""
    family, more = set[int](), {pid} & processes.keys()
    while more:
        family |= more
        more = {
            each
            for each, process in processes.items()
            if each not in family and (process.parent in family or process.group in family)
        }
    return family


def held_bytes(family: set[int]) -> int:
    """Return at most what these processes hold that no file on a disk backs.

    What several of them share counts for each.
    """
    return sum(_read_kib(family, "status", "RssAnon", "RssShmem")) * 1024 + _files_bytes(family)


def shared_once_bytes(pid: int, family: set[int]) -> int:
    """Return what `held_bytes` does, where shared memory counts once: it takes the kernel longer.

    What the process itself, `pid`, shares with the one that forked it counts in full.
    """
    own, own_shared = _read_kib({pid}, "status", "RssAnon", "RssShmem")
    others, shared = _read_kib(family - {pid}, "smaps_rollup", "Pss_Anon", "Pss_Shmem")
    # What is mapped of the files would count twice.
    return (own + others) * 1024 + max((own_shared + shared) * 1024, _files_bytes(family))


def crowd_of(family: Iterable[int], processes: Mapping[int, Process]) -> str:
    """Say by how much a model has too many processes or threads, "" if it hasn't."""
    known = [processes[each] for each in family if each in processes]
    threads = sum(process.threads for process in known)
    if len(known) > MOST_PROCESSES:
        return f"the model runs {len(known)} processes, more than {MOST_PROCESSES}"
    if threads > MOST_THREADS:
        return f"the model runs {threads} threads, more than {MOST_THREADS}"
    return ""


def groups_of(family: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """Return the groups that one of these processes leads."""
    return {each for each in family if each in processes and processes[each].group == each}


def end_groups(groups: Iterable[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _read_kib(pids: Iterable[int], file: str, *names: str) -> list[int]:
    """Return the sum of each of these lines of the processes' file in /proc."""
    found = dict.fromkeys(names, 0)
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):  # it has ended
            for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
                name, _, rest = line.partition(":")
                if name in found:
                    found[name] += int(rest.split()[0])
    return list(found.values())


def _files_bytes(family: Iterable[int]) -> int:
    """Return what files in the family's own shared memory take; all of it has the same."""
    return max(map(used_bytes, family), default=0)
