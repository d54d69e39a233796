"""Runs a module of which parts are compiled to native code, where `make compile` has been called.

    python -m infrastructure.compiled serving.api.server clipper_site.predict_asgi:application

What is compiled lies in a folder that is named by a digest of all source files, so that code which
was made of other sources is never met; without that folder the same Python runs. A process imports
what is compiled only where it says so first: others, those of models above all, have the Python.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from hashlib import blake2b
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from runpy import run_module
from types import ModuleType

from infrastructure.imports import uncollected

ROOT = Path(__file__).resolve().parent.parent
BUILDS = ROOT / "build" / "compiled"
# What compiled modules may know the insides of. `clipper_site` and `console` are above them.
SOURCES = ("infrastructure", "registry", "selection", "serving")
# Run the Python, whatever there is: what `clipper_site.settings` takes for no.
VARIABLE, OFF = "CLIPPER_COMPILED", {"0", "false", "no", "off"}
# Names of extension modules end so for this very interpreter.
SUFFIX = EXTENSION_SUFFIXES[0]


class CompiledModules(MetaPathFinder):
    """Finds the modules that lie compiled in a folder, before their Python is found."""

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
    """Return what the sources as they are now are compiled under, by this interpreter."""
    made_of = blake2b(SUFFIX.encode(), digest_size=16)
    for package in SOURCES:
        for path in sorted((ROOT / package).rglob("*.py")):
            text = path.read_bytes()
            made_of.update(f"\0{path.relative_to(ROOT)}\0{len(text)}\0".encode())
            made_of.update(text)
    return made_of.hexdigest()


def build() -> Path | None:
    """Return the folder of what processes may use that start now; None where there is none."""
    if not _may_be_used():
        return None
    folder = BUILDS / digest()
    return folder if folder.is_dir() else None


def install() -> bool:
    """Have what is imported from now on come compiled; tell whether there is any of it."""
    folder = build()
    if folder is not None:
        sys.meta_path.insert(0, CompiledModules(folder))
    return folder is not None


def in_use() -> bool:
    """Whether this process has what is compiled."""
    return any(isinstance(finder, CompiledModules) for finder in sys.meta_path)


def stale() -> bool:
    """Whether something is compiled, but of other sources or for another interpreter."""
    return _may_be_used() and not in_use()


def _may_be_used() -> bool:
    return BUILDS.is_dir() and os.environ.get(VARIABLE, "").lower() not in OFF


if __name__ == "__main__":
    # `in_use` is asked of the module that others import, not of `__main__`.
    from infrastructure import compiled

    with uncollected():
        compiled.install()
    module, *sys.argv[1:] = sys.argv[1:]
    run_module(module, run_name="__main__", alter_sys=True)
