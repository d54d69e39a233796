"""Build the documentation into build/docs, where the running stack serves it (`make docs`).

`--idle` installs what it is built with first, and takes time that nobody else wants.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "docs"


def main(arguments: Sequence[str]) -> int:
    if "--idle" in arguments:
        os.umask(0o022)  # the launcher's keeps others from reading what is installed and built
        os.nice(19)
        if hasattr(os, "SCHED_IDLE"):  # Linux
            os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        if code := subprocess.run(["scripts/setup", "--docs"], cwd=ROOT, check=False).returncode:
            return code
    SITE.parent.mkdir(exist_ok=True)
    with (SITE.parent / "docs.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # another stack of this checkout may be at it
        return build()


def build() -> int:
    fresh, old = SITE.with_name("docs.new"), SITE.with_name("docs.old")
    command = [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict"]
    built = subprocess.run(
        [*command, "--config-file", ROOT / "mkdocs.yml", "--site-dir", fresh],
        # MkDocs 1 is pinned: of its successor nobody needs to be warned at each build.
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        check=False,
    )
    if built.returncode:
        return built.returncode
    shutil.rmtree(old, ignore_errors=True)
    if SITE.exists():
        SITE.rename(old)
    fresh.rename(SITE)
    shutil.rmtree(old, ignore_errors=True)
    print(f"docs: built in {SITE}; the running stack serves it at /docs/")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
