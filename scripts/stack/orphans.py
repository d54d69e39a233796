"""Ends the children of a program that died: a supervisord event listener.

supervisord restarts a program killed with `kill -9`, but knows nothing of that program's children:
an orphaned web worker would go on taking connections, an orphaned replica batches.
"""

from __future__ import annotations

import os
from pathlib import Path

from supervisor import childutils  # type: ignore[import-untyped]  # it ships no annotations

from .processes import end_all, processes_of

GRACE_SECONDS = 3.0


def listen() -> None:
    """At each event of a program that ended look for orphans, until supervisord ends this too."""
    var = Path(os.environ["CLIPPER_VAR"])
    while True:
        childutils.listener.wait()
        end_all(lambda: orphans_of(var), grace_seconds=GRACE_SECONDS)
        childutils.listener.ok()


def orphans_of(var: Path) -> list[int]:
    """Processes whose group has lost its leader: each program leads the group of its children."""
    return [pid for pid in processes_of(var) if _is_orphan(pid)]


def _is_orphan(pid: int) -> bool:
    try:
        leader = os.getpgid(pid)
    except ProcessLookupError:
        return False
    return not Path(f"/proc/{leader}").exists()
