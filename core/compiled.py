"""Runs a module with the parts that `make compile` has compiled to native code.

    python -m core.compiled serving.http.server clipper_site.predict_asgi:application

Compiled code lies in a folder named by a digest of all sources. The Python runs instead if that
folder is missing, damaged or can't be loaded, and in processes that don't start this way.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from runpy import run_module
from types import ModuleType
from typing import ClassVar

from core.imports import uncollected

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build" / "compiled"
# Compiled modules may know the insides of these.
SOURCES = ("core", "registry", "selection", "serving")
RECIPE = "scripts/compile.py"
# The values that `clipper_site.settings` takes for no.
VARIABLE, OFF = "CLIPPER_COMPILED", {"0", "false", "no", "off"}
# The suffix of extension modules for this interpreter.
SUFFIX = EXTENSION_SUFFIXES[0]
# The code of all modules, each of which has a small file beside it.
LIBRARY = f"*__mypyc{SUFFIX}"
# Lists the sizes of a build's files: a truncated one would crash the process.
CONTENTS = "contents"


class CompiledModules(MetaPathFinder):
    """Finds compiled modules in a folder; `refused` says why this process has none."""

    refused: ClassVar[str] = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = {
            ".".join(path.relative_to(folder).parts).removesuffix(SUFFIX): str(path)
            for path in folder.rglob(f"*{SUFFIX}")
        }

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self._paths.get(name)
        if found is None:
            return None
        return spec_from_file_location(name, found)


def digest() -> str:
    """Return the digest of the current sources and interpreter."""
    made_of = blake2b(SUFFIX.encode(), digest_size=16)
    for path in _sources():
        text = path.read_bytes()
        made_of.update(f"\0{path.relative_to(ROOT)}\0{len(text)}\0".encode())
        made_of.update(text)
    return made_of.hexdigest()


def _sources() -> Iterator[Path]:
    for package in SOURCES:
        yield from sorted((ROOT / package).rglob("*.py"))
    yield from ROOT.glob(RECIPE)


def build() -> Path | None:
    """Return the folder for processes that start now, if there is one."""
    if not _may_be_used():
        return None
    folder = BUILDS / digest()
    return None if fault(folder) else folder


def contents(folder: Path) -> str:
    """Return the sizes and names of the files there, a line each."""
    found = sorted(folder.rglob(f"*{SUFFIX}"))
    return "".join(f"{path.stat().st_size} {path.relative_to(folder)}\n" for path in found)


def fault(folder: Path) -> str:
    """Say why the folder can't be used; "" if it can."""
    if not folder.is_dir():
        return "is of other sources"
    try:
        whole = (folder / CONTENTS).read_text() == contents(folder) != ""
    except (OSError, UnicodeDecodeError):
        whole = False
    return "" if whole else "is damaged"


def install() -> bool:
    """Import compiled modules from now on; return whether there are any."""
    if not _may_be_used():
        return False
    folder = BUILDS / digest()
    CompiledModules.refused = fault(folder)
    if CompiledModules.refused:
        return False
    finder = CompiledModules(folder)
    sys.meta_path.insert(0, finder)
    try:
        for library in folder.glob(LIBRARY):
            import_module(library.name.removesuffix(SUFFIX))
    except ImportError as error:
        # It is of another machine, or lies where nothing may be executed.
        sys.meta_path.remove(finder)
        CompiledModules.refused = f"can't be loaded ({error})"
    return in_use()


def in_use() -> bool:
    """Return whether this process runs compiled code."""
    return any(isinstance(finder, CompiledModules) for finder in sys.meta_path)


def unused() -> str:
    """Say why this process doesn't run the code that is compiled; "" if it does."""
    return CompiledModules.refused


def _may_be_used() -> bool:
    # One that is being made has a name with a dot.
    return any(BUILDS.glob("[!.]*")) and os.environ.get(VARIABLE, "").lower() not in OFF


if __name__ == "__main__":
    # `in_use` is asked of the module that others import, not of `__main__`.
    from core import compiled

    with uncollected():
        compiled.install()
    module, *sys.argv[1:] = sys.argv[1:]
    run_module(module, run_name="__main__", alter_sys=True)
