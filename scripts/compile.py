"""`make compile`: compile what a query goes through to native code, by mypyc.

It takes about a minute of two cores and a C compiler. Predict processes that start afterwards
(`make restart`) use it as long as no source file is changed (`infrastructure.compiled`).
"""

from __future__ import annotations

import os
import shutil
import sys
import sysconfig
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from infrastructure import compiled

# Structs of msgspec lose their options where they are compiled, classes that somebody inherits from
# can't be, and models' processes have no part in it: such modules are left out.
PATTERNS = (
    "serving/engine/**/*.py",
    "serving/query/*.py",
    "serving/rpc/frames.py",
    "serving/rpc/outputs.py",
    "serving/rpc/text.py",
    "serving/rpc/buffers.py",
    *(
        f"serving/api/{name}.py"
        for name in (
            *("chunks", "connection", "framing", "front", "heads", "moving", "plain", "predict"),
            *("shared", "splitting", "unfinished"),
        )
    ),
    "serving/metrics/published.py",
    "serving/metrics/window.py",
    "selection/answers/*.py",
    "selection/reliability.py",
    "selection/store/state.py",
)
LEFT_OUT = {
    "serving/query/prediction.py",
}
JOBS = 2


def modules() -> list[str]:
    """Return the files to compile, relative to the project."""
    found = {
        str(path.relative_to(compiled.ROOT))
        for pattern in PATTERNS
        for path in compiled.ROOT.glob(pattern)
        if path.name != "__init__.py"
    }
    return sorted(found - LEFT_OUT)


def main() -> None:
    begun = monotonic()
    folder = compiled.BUILDS / compiled.digest()
    if folder.is_dir():
        print(f"compile: {folder.relative_to(compiled.ROOT)} is there already")
        return
    check_headers()
    compiled.BUILDS.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=compiled.BUILDS, prefix=".") as made:
        build(modules(), into=Path(made))
        (Path(made) / "modules").replace(folder)
    for other in compiled.BUILDS.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    seconds = monotonic() - begun
    print(f"compile: {len(modules())} modules, {seconds:.0f} s; `make restart` puts them to work")


def check_headers() -> None:
    header = Path(sysconfig.get_paths()["include"]) / "Python.h"
    if not header.exists():
        version = sysconfig.get_python_version()
        sys.exit(
            f"compile: {header} is missing; install the headers of Python {version}:"
            f" sudo apt-get install --no-install-recommends python{version}-dev"
        )


def build(files: list[str], *, into: Path) -> None:
    """Compile the files; what comes of it is in `into`/modules. Ends the process where it fails."""
    from mypyc.build import mypycify
    from setuptools import Distribution

    os.chdir(compiled.ROOT)
    extensions = mypycify(files, target_dir=str(into / "c"))
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(into / "modules"), str(into / "objects")
    command.parallel = JOBS
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main()
