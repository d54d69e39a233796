"""An environment for each framework whose tests aren't run in ours, made once and kept.

`python -m tests.frameworks.environments NAME ...` makes them and runs the tests in each. They lie
in the user's cache, one for each framework, so that a fresh clone finds them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
COMMON = HERE / "requirements" / "all.txt"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clipper-frameworks"
# Says in the environment of a process that it is one of these.
MARK = "CLIPPER_FRAMEWORK"
BUILT_WITHIN_S = 1200.0
TESTED_WITHIN_S = 600.0


def is_one() -> bool:
    """Whether this process runs in a framework's environment."""
    return MARK in os.environ


def run_tests(name: str) -> subprocess.CompletedProcess[str]:
    """Run the tests of a framework in its environment."""
    return subprocess.run(
        [
            *(environment(name), "-m", "pytest", f"tests/frameworks/test_{name}_runtime.py"),
            *("-c", str(HERE / "pytest.ini"), "--confcutdir", str(HERE)),
        ],
        cwd=ROOT,
        env={**os.environ, MARK: name},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TESTED_WITHIN_S,
        check=False,
    )


def environment(name: str) -> Path:
    """The Python of a framework's environment, which is made if it isn't there as it should be."""
    required = HERE / "requirements" / f"{name}.txt"
    told = required.read_bytes() + COMMON.read_bytes() + sys.version.encode()
    folder = CACHE / f"{name}-{hashlib.sha256(told).hexdigest()[:12]}"
    if not folder.exists():
        for older in CACHE.glob(f"{name}-*"):
            shutil.rmtree(older, ignore_errors=True)
        _make(folder, required=required)
    return folder / "bin" / "python"


def _make(folder: Path, *, required: Path) -> None:
    """All of it or nothing: it is made aside."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as aside:
        made = Path(aside) / "made"
        install = [sys.executable, "-m", "pip", "--python", str(made / "bin" / "python"), "install"]
        for command in (
            [sys.executable, "-m", "venv", "--without-pip", str(made)],
            [*install, "--quiet", "--no-input", "-r", str(COMMON), "-r", str(required)],
        ):
            subprocess.run(command, cwd=aside, timeout=BUILT_WITHIN_S, check=True)
        made.rename(folder)


def main(names: list[str]) -> int:
    failed = []
    for name in names:
        print(f"{name}: {environment(name)}", flush=True)
        result = run_tests(name)
        print(result.stdout, flush=True)
        failed += [name] if result.returncode else []
    if failed:
        print(f"failed: {', '.join(failed)}")
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
