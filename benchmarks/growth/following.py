"""One web process without queries that follows a registry, in a process of its own.

It fills a database, starts the runtime, has another process change the registry, and prints what
that took as JSON: processor time of all of its threads, and how long its loop kept a timer waiting.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from contextlib import asynccontextmanager, nullcontext
from time import monotonic, process_time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from serving.web.runtime import Runtime

# Changes one after the other, and the time in which they come; before them nothing happens.
CHANGES, SECONDS, IDLE_SECONDS = 50, 5.0, 10.0
TICK_S = 0.001
FOLLOWED_WITHIN_S = 60.0
SWITCH_INTERVAL_S, GC_THRESHOLDS = 0.0005, (10_000, 20, 100)
OBJECTIVE_MS = 50.0


def seed(size: int) -> None:
    """Register so many applications, each with a route to a model of its own with a version."""
    from django.core.management import call_command

    from registry.models import (
        ApiKey,
        Application,
        Model,
        ModelVersion,
        Route,
        ServiceLevelObjective,
    )

    call_command("migrate", verbosity=0)
    numbers = range(size)
    models = Model.objects.bulk_create(
        Model(name=f"model-{number}", input_type="doubles") for number in numbers
    )
    versions = ModelVersion.objects.bulk_create(
        ModelVersion(model=model, version="1", runtime="sklearn", digest="0" * 64)
        for model in models
    )
    for model, version in zip(models, versions, strict=True):
        Model.objects.filter(pk=model.pk).update(live_version=version)
    applications = Application.objects.bulk_create(
        Application(name=f"application-{number}", input_type="doubles", default_output="-1")
        for number in numbers
    )
    ServiceLevelObjective.objects.bulk_create(
        ServiceLevelObjective(application=application, latency_ms=OBJECTIVE_MS)
        for application in applications
    )
    Route.objects.bulk_create(
        Route(application=application, model=model)
        for application, model in zip(applications, models, strict=True)
    )
    ApiKey.objects.bulk_create(
        ApiKey(name=f"key-{number}", prefix=f"clp_{number}", digest=f"{number:064x}")
        for number in range(size // 10)
    )


def write() -> None:
    """Do what each line says: set the objective of some applications, in one transaction or so
    many seconds apart.
    """
    from django.db import transaction

    from registry import services
    from registry.models import Application

    for line in sys.stdin:
        asked = json.loads(line)
        with nullcontext() if asked["apart_s"] else transaction.atomic():
            for number in asked["numbers"]:
                time.sleep(asked["apart_s"])
                application = Application.objects.get(name=f"application-{number}")
                services.set_objective(
                    application=application, latency_ms=asked["ms"], by=services.SYSTEM
                )
        print("done", flush=True)


class Watch:
    """What the process took while something was going on."""

    def __init__(self) -> None:
        self.held_ms = self.cpu_ms = self.seconds = 0.0
        self._begun_at, self._cpu = monotonic(), process_time()

    async def tick(self) -> None:
        """See for how long the loop is held: by what this process did meanwhile, and not by others
        that had its core.
        """
        while True:
            due, cpu = monotonic() + TICK_S, process_time()
            await asyncio.sleep(TICK_S)
            late, busy = monotonic() - due, process_time() - cpu
            self.held_ms = max(self.held_ms, 1e3 * min(late, busy))

    def end(self) -> None:
        self.cpu_ms = 1e3 * (process_time() - self._cpu)
        self.seconds = monotonic() - self._begun_at


@asynccontextmanager
async def watched(*, ticking: bool) -> AsyncIterator[Watch]:
    """Timers take processor time themselves: where that is asked for, there are none."""
    watch = Watch()
    timer = asyncio.create_task(watch.tick()) if ticking else None
    try:
        yield watch
        watch.end()
    finally:
        if timer is not None:
            timer.cancel()


class Writer:
    """The other process, which changes the registry."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def set(self, numbers: list[int], *, ms: float, apart_s: float = 0.0) -> None:
        assert self._process.stdin is not None
        asked = {"numbers": numbers, "ms": ms, "apart_s": apart_s}
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        await self._process.stdin.drain()

    async def done(self) -> None:
        assert self._process.stdout is not None
        if await self._process.stdout.readline() != b"done\n":
            raise RuntimeError("the writer ended")


@asynccontextmanager
async def writing() -> AsyncIterator[Writer]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "benchmarks.growth.following", "write",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield Writer(process)
    finally:
        process.kill()
        await process.wait()


async def measured(size: int) -> dict[str, float]:
    from clipper_site.runtime import new_runtime

    runtime = new_runtime()
    await runtime.start()
    # As a predict process does.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    try:
        async with writing() as writer:
            # The first of everything costs more.
            await _changed(runtime, writer, numbers=[0], ms=OBJECTIVE_MS + 1)
            idle, calm = await _idle(ticking=False), await _idle(ticking=True)
            single = await _single(runtime, writer, size=size, ticking=False)
            held = await _single(runtime, writer, size=size, ticking=True)
            bulk = await _bulk(runtime, writer, size=size)
            share = idle.cpu_ms / 1e3 / idle.seconds
            return {
                "idle_share": share,
                "idle_held_ms": calm.held_ms,
                "change_ms": (single.cpu_ms - 1e3 * share * single.seconds) / CHANGES,
                "held_ms": held.held_ms,
                "bulk_ms": (bulk.cpu_ms - 1e3 * share * bulk.seconds) / size,
                "bulk_held_ms": bulk.held_ms,
            }
    finally:
        await runtime.stop()


async def _idle(*, ticking: bool) -> Watch:
    async with watched(ticking=ticking) as watch:
        await asyncio.sleep(IDLE_SECONDS)
    return watch


async def _single(runtime: Runtime, writer: Writer, *, size: int, ticking: bool) -> Watch:
    async with watched(ticking=ticking) as watch:
        numbers = [number % size for number in range(CHANGES)]
        ms = 60.0 + ticking
        await _changed(runtime, writer, numbers=numbers, ms=ms, apart_s=SECONDS / CHANGES)
    return watch


async def _bulk(runtime: Runtime, writer: Writer, *, size: int) -> Watch:
    """All of them in one transaction."""
    async with watched(ticking=True) as watch:
        await _changed(runtime, writer, numbers=list(range(size)), ms=70.0)
    return watch


async def _changed(
    runtime: Runtime, writer: Writer, *, numbers: list[int], ms: float, apart_s: float = 0.0
) -> None:
    """Set these objectives, and wait until they hold here."""
    await writer.set(numbers, ms=ms, apart_s=apart_s)
    await writer.done()
    names = [f"application-{number}" for number in (numbers[0], numbers[-1])]
    async with asyncio.timeout(FOLLOWED_WITHIN_S):
        look = runtime.registry.next_look
        while any(runtime.snapshot.applications[name].slo_ms != ms for name in names):
            await asyncio.wait([look])
            look = runtime.registry.next_look


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipper_site.settings")
    import django
    import uvloop

    django.setup(set_prefix=False)
    if sys.argv[1] == "write":
        write()
        return
    size = int(sys.argv[1])
    seed(size)
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps(runner.run(measured(size))))


if __name__ == "__main__":
    main()
