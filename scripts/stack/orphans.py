"""Ends the children of a program that died: a supervisord event listener.

supervisord restarts a program killed with `kill -9`, but knows nothing of that program's children:
an orphaned web worker would go on taking connections, an orphaned replica batches.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from .processes import end_all, in_session, processes_of

GRACE_SECONDS = 3.0


def listen() -> None:
    """At each event of a program that ended look for orphans, until supervisord ends this too."""
    var = Path(os.environ["CLIPPER_VAR"])
    for _ in events():
        end_all(lambda: orphans_of(var), grace_seconds=GRACE_SECONDS)


def events() -> Iterator[str]:
    """Yield what supervisord tells of each event, which counts as handled by the next one.

    That is its protocol for listeners, over standard input and output. What supervisor brings for
    it would take this process 5 MiB, for as long as the stack lives.
    """
    while True:
        print("READY", flush=True)
        told = sys.stdin.readline()
        if not told:
            return
        fields = dict(field.split(":", 1) for field in told.split())
        yield sys.stdin.read(int(fields["len"]))
        print("RESULT 2\nOK", end="", flush=True)


def orphans_of(var: Path) -> list[int]:
    """Processes whose group has lost its leader: each program leads the group of its children, and
    each model that of its own.

    Models don't carry the stack's mark, but have the session of supervisord, this process's parent.
    """
    session = os.getppid() if os.getsid(0) == os.getppid() else 0
    return [pid for pid in {*processes_of(var), *in_session(session)} if _is_orphan(pid)]


def _is_orphan(pid: int) -> bool:
    try:
        leader = os.getpgid(pid)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{leader}").exists()
