"""Build the documentation into build/docs, where the running stack serves it (`make docs`)."""

import fcntl
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "build" / "docs"


def main() -> int:
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
    sys.exit(main())
