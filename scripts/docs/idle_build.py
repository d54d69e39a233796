"""Install what the documentation is built with and build it, in time that nobody else wants."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = (["scripts/setup", "--docs"], [sys.executable, "-m", "scripts.docs.build"])


def main() -> int:
    os.umask(0o022)  # the launcher's keeps others from reading what is installed and built
    os.nice(19)
    if hasattr(os, "SCHED_IDLE"):  # Linux
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    for command in COMMANDS:
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0


if __name__ == "__main__":
    sys.exit(main())
