"""The documentation, built beside the stack where it is missing or older than its pages."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .environment import without_another_stack
from .layout import ROOT, Layout
from .processes import MARK, dying_with_its_parent

PAGES = ROOT / "docs"
BUILT = ROOT / "build" / "docs" / "index.html"
COMMAND = (sys.executable, "-m", "scripts.docs.background")


@contextmanager
def built_meanwhile(layout: Layout) -> Iterator[None]:
    """Have the documentation built while the block runs; what isn't done by its end is given up.

    Whoever builds holds a lock of the log, by which the console sees that it is under way.
    """
    if _is_current():
        yield
        return
    with (layout.logs / "docs.log").open("wb") as log:
        fcntl.flock(log, fcntl.LOCK_EX)
        builder = subprocess.Popen(
            COMMAND,
            cwd=ROOT,
            env=without_another_stack(os.environ) | {MARK: str(layout.var)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=dying_with_its_parent(),
        )
    try:
        yield
    finally:
        if builder.poll() is None:
            os.killpg(builder.pid, signal.SIGTERM)
            builder.wait()


def _is_current() -> bool:
    newest = max(page.stat().st_mtime for page in PAGES.rglob("*.md"))
    return BUILT.is_file() and BUILT.stat().st_mtime >= newest
