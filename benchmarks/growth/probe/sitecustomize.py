"""Found by Python at its start where this folder is on the path: how long the event loop waits.

Only in a web process that `GROWTH_PROBE` is set for. It names the file that is told, a line each,
begin and end on the monotonic clock: `read` the registry was read in a thread, `follow` the loop
followed what was read, `lag` a timer of the loop was late.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

EVERY_SECONDS, LATE_SECONDS = 0.005, 0.003
WATCHED = "serving.web.runtime"


def instrument(runtime: Any, file: str) -> None:
    """Have the class `Runtime` tell; its objects are made later."""
    import asyncio
    from dataclasses import replace
    from pathlib import Path
    from time import monotonic

    lines = Path(file).open("a", buffering=1)  # noqa: SIM115  (as long as the process)
    start = runtime.start

    def timed(what: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def timed_call(*arguments: Any) -> Any:
            begin = monotonic()
            try:
                return call(*arguments)
            finally:
                lines.write(f"{what} {begin} {monotonic()}\n")

        return timed_call

    async def started(self: Any) -> None:
        self.spec = replace(self.spec, read_snapshot=timed("read", self.spec.read_snapshot))
        await start(self)
        loop = asyncio.get_running_loop()

        def tick(due: float) -> None:
            now = monotonic()
            if now - due > LATE_SECONDS:
                lines.write(f"lag {due} {now}\n")
            loop.call_later(EVERY_SECONDS, tick, now + EVERY_SECONDS)

        tick(monotonic())

    runtime.start = started
    runtime._follow_registry = timed("follow", runtime._follow_registry)


class Watcher:
    """Gives the module to be imported a loader that instruments it as soon as it is there."""

    def __init__(self, file: str) -> None:
        self.file = file

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != WATCHED:
            return None
        from importlib.util import find_spec

        sys.meta_path.remove(self)
        spec = find_spec(name)
        assert spec is not None
        loader: Any = spec.loader
        execute = loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            instrument(module.Runtime, self.file)

        loader.exec_module = exec_module
        return spec


if "GROWTH_PROBE" in os.environ and "uvicorn" in sys.orig_argv:
    sys.meta_path.insert(0, Watcher(os.environ["GROWTH_PROBE"]))
