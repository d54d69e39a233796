"""The processes of one model: its group, which none can leave (`sandbox.syscalls`)."""

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from serving.container.sandbox.mounts import used_bytes

# Libraries start one or two processes for each core, each with a thread for each of some tasks.
MOST_PROCESSES = 100 + 2 * (os.cpu_count() or 1)
# Their unread bytes, some 0.2 MB each, count nowhere.
MOST_SOCKETS = 1024
_RESIDENT = ("RssAnon", "RssShmem")


class Process(NamedTuple):
    """A running process."""

    parent: int
    group: int
    threads: int


def read_processes() -> dict[int, Process]:
    """Return every process that runs, by its id; none on a system without /proc.

    Those of other sessions have no numbers, as models can't leave the stack's.
    """
    found, session = {}, os.getsid(0)
    for pid in (int(folder.name) for folder in Path("/proc").glob("[0-9]*")):
        with suppress(OSError):  # it has ended
            if os.getsid(pid) != session:
                found[pid] = Process(parent=0, group=0, threads=0)
                continue
            with open(f"/proc/{pid}/stat", "rb", 0) as file:  # noqa: PTH123  # faster
                # "pid (name) state parent ...", where the name may hold spaces and brackets.
                state, parent, group, *rest = file.read().rpartition(b")")[2].split()
            threads = int(rest[14])
            # The first thread may have ended while others go on.
            if state not in b"ZX" or threads > 1:
                found[pid] = Process(int(parent), int(group), threads)
    return found


def family_of(pids: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """Return these processes, all that they started, and all in the groups that these lead."""
    family, more = set[int](), {*pids} & processes.keys()
    while more:
        family |= more
        more = {
            each
            for each, process in processes.items()
            if each not in family and (process.parent in family or process.group in family)
        }
    return family


def held_bytes(family: set[int]) -> int:
    """Return the memory that no file backs; what processes share counts for each of them."""
    files = max(map(used_bytes, family), default=0)
    return sum(_read_kib(family, "status", *_RESIDENT)) * 1024 + files


def shared_once_bytes(pids: Iterable[int], family: set[int]) -> int:
    """Return what `held_bytes` does, but count shared memory once, which takes longer."""
    own, own_shared = _read_kib(pids, "status", *_RESIDENT)
    others, shared = _read_kib(family - {*pids}, "smaps_rollup", "Pss_Anon", "Pss_Shmem")
    # Mapped files would count twice.
    files = max(map(used_bytes, family), default=0)
    return (own + others) * 1024 + max((own_shared + shared) * 1024, files)


def crowd_of(family: Iterable[int], processes: Mapping[int, Process]) -> str:
    """Say by how much a model has too many processes, threads or sockets, "" if it hasn't."""
    known = [processes[each] for each in family if each in processes]
    threads = sum(process.threads for process in known)
    if len(known) > MOST_PROCESSES:
        return f"the model runs {len(known)} processes, more than {MOST_PROCESSES}"
    if threads > (most := 20 * MOST_PROCESSES):
        return f"the model runs {threads} threads, more than {most}"
    opened, found = list[str](), set()
    for pid in family:
        with suppress(OSError):  # it has ended
            opened += [entry.path for entry in os.scandir(f"/proc/{pid}/fd")]
    # To read the links takes ten times as long as to list them.
    for descriptor in opened if len(opened) > MOST_SOCKETS else ():
        with suppress(OSError):  # it was closed
            found.add(os.readlink(descriptor))  # noqa: PTH115
    if (sockets := sum(name.startswith("socket:") for name in found)) > MOST_SOCKETS:
        return f"the model has {sockets} sockets open, more than {MOST_SOCKETS}"
    return ""


def groups_of(family: Iterable[int], processes: Mapping[int, Process]) -> set[int]:
    """Return the groups that one of these processes leads."""
    return {each for each in family if each in processes and processes[each].group == each}


def end_groups(groups: Iterable[int]) -> None:
    for group in groups:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


def _read_kib(pids: Iterable[int], file: str, *names: str) -> list[int]:
    """Return the sums of lines of the processes' files in /proc."""
    found = [0] * len(names)
    for pid in pids:
        with suppress(OSError, ValueError, IndexError):  # it has ended
            if not (held := _kib(Path(f"/proc/{pid}/{file}"), names)):
                # Its first thread has ended, and with it what the kernel tells of the process.
                threads = Path(f"/proc/{pid}/task").iterdir()
                others = [thread for thread in threads if thread.name != str(pid)]
                held = _kib(others[0] / "status", _RESIDENT)
            found = [before + more for before, more in zip(found, held, strict=True)]
    return found


def _kib(file: Path, names: Sequence[str]) -> list[int]:
    """Return lines of a file in /proc, none if one isn't there."""
    try:
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
    except OSError:
        return []
    return [int(lines[name].split()[0]) for name in names if name in lines]
