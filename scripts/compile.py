"""`make compile`: compile what a query goes through to native code, by mypyc."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic

from core import compiled

# Structs of msgspec lose their options where they are compiled, classes that somebody inherits from
# can't be, and models' processes have no part in it: such modules are left out.
PATTERNS = (
    "serving/engine/**/*.py",
    "serving/query/**/*.py",
    "serving/rpc/frames/codec.py",
    "serving/rpc/frames/outputs.py",
    "serving/rpc/text.py",
    "serving/rpc/buffers.py",
    *(
        f"serving/endpoints/predictions/{name}.py"
        for name in ("batch_splitting", "direct_predictions", "known_heads", "predict")
    ),
    *(f"serving/http/{name}.py" for name in ("connection", "connections", "exchange", "request")),
    "serving/metrics/published.py",
    "serving/metrics/window.py",
    "selection/answers/*.py",
    "selection/reliability.py",
    *(f"selection/store/{name}.py" for name in ("state_record", "query_counts")),
)
LEFT_OUT = {
    "serving/query/prediction.py",
}
# Imports all that is compiled in a folder. One module knows others that aren't, and need Django.
IMPORTS = """
import sys
from pathlib import Path
from core.compiled import SUFFIX, CompiledModules
folder = Path(sys.argv[1])
sys.meta_path.insert(0, CompiledModules(folder))
for path in sorted(folder.rglob(f"*{SUFFIX}")):
    __import__(".".join(path.relative_to(folder).parts).removesuffix(SUFFIX))
"""


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
    try:
        compiled.BUILDS.mkdir(parents=True, exist_ok=True)
        with alone(compiled.BUILDS):
            make()
    except OSError as error:
        sys.exit(f"compile: {error}")
    except KeyboardInterrupt:
        sys.exit("compile: interrupted; what was compiled before stays in use")


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Wait until nobody else compiles."""
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("compile: waits for another make compile", flush=True)
            fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def make() -> None:
    """Compile the sources as they are now, unless that has been done."""
    begun = monotonic()
    digest = compiled.digest()
    folder = compiled.BUILDS / digest
    if not compiled.fault(folder) and not import_fault(folder):
        print(f"compile: {folder.relative_to(compiled.ROOT)} is there already")
        return
    with TemporaryDirectory(dir=compiled.BUILDS, prefix=".") as made:
        build(modules(), into=Path(made))
        put_to_use(Path(made) / "modules", digest=digest)
    for other in compiled.BUILDS.iterdir():
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    seconds = monotonic() - begun
    print(f"compile: {len(modules())} modules, {seconds:.0f} s; `make restart` puts them to work")


def put_to_use(made: Path, *, digest: str) -> None:
    """Have processes that start from now on use what was made of the sources of this digest."""
    if compiled.digest() != digest:
        sys.exit("compile: the sources were changed meanwhile; call make compile again")
    if why := import_fault(made):
        sys.exit(f"compile: what was made can't be imported: {why}")
    (made / compiled.CONTENTS).write_text(compiled.contents(made))
    folder = compiled.BUILDS / digest
    shutil.rmtree(folder, ignore_errors=True)  # what is there is damaged
    made.replace(folder)


def import_fault(folder: Path) -> str:
    """Say why what is compiled there can't be imported, "" where it can be."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, str(folder)],
        cwd=compiled.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stderr.strip().splitlines()
    return (lines or [f"it ends with {done.returncode}"])[-1] if done.returncode else ""


def build(files: list[str], *, into: Path) -> None:
    """Compile the files; what comes of it is in `into`/modules. Ends the process where it fails."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.errors import BaseError, CCompilerError

    os.chdir(compiled.ROOT)
    extensions = mypycify(files, target_dir=str(into / "c"))
    for extension in extensions:  # wherever it is made, it is the same
        places = [f"-ffile-prefix-map={folder}=." for folder in (compiled.ROOT, into)]
        extension.extra_compile_args += places
    command = Distribution({"ext_modules": extensions}).get_command_obj("build_ext")
    command.build_lib, command.build_temp = str(into / "modules"), str(into / "objects")
    command.parallel = 2
    command.ensure_finalized()
    try:
        command.run()
    except (BaseError, CCompilerError) as error:
        sys.exit(f"compile: {error}")


if __name__ == "__main__":
    main()
