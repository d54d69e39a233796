"""Startup of a web process: it connects to the replicas that others reach before it is asked.

Its first queries would get default outputs otherwise.
"""

import asyncio
import logging
from time import monotonic

from selection.store.redis_keys import GLOBAL_CONTEXT, REDIS_ERRORS
from serving.cluster.membership.records import ReplicaState
from serving.cluster.membership.views import WebView, read_views_async
from serving.web.runtime import Runtime

# A link takes milliseconds, or as long as a batch where the replica is at one.
REACH_S = 10.0

logger = logging.getLogger(__name__)


class NotReached(Exception):
    """A new web process can't reach what the others reach, so they go on instead."""


async def start_up(runtime: Runtime, *, replaces: bool) -> None:
    """Connect to the replicas, and read what was learned.

    Raises NotReached if this process replaces another one that reaches more.
    """
    lacking = await _reach_replicas(runtime)
    if lacking and replaces:
        raise NotReached(f"Not connected to {', '.join(lacking)}, as other processes are.")
    if lacking:
        logger.warning("not connected, as others are, to %s", ", ".join(lacking))
    await _read_learned(runtime)


async def _reach_replicas(runtime: Runtime) -> list[str]:
    """Return what some other process reaches and this one, in the end, does not."""
    until = monotonic() + REACH_S
    while True:
        try:
            await runtime.refresh_directory()
            others = await read_views_async(runtime.redis)
        except REDIS_ERRORS as error:
            lacking = [f"Redis ({error})"]
        else:
            if opening := runtime.links.opening:
                await asyncio.wait(opening, timeout=max(0.0, until - monotonic()))
            lacking = _lacking(runtime, others=others)
        if not lacking or monotonic() >= until:
            return lacking
        await asyncio.sleep(0.2)


def _lacking(runtime: Runtime, *, others: list[WebView]) -> list[str]:
    lacking = {
        f"{record.model}:{record.version}"
        for record in runtime.records
        if record.state is ReplicaState.READY
        and not runtime.engine.connected(record.version_id)
        and any(view.has_proven(record.id) for view in others)
    }
    return sorted(lacking)


async def _read_learned(runtime: Runtime) -> None:
    """Read what each application has learned, for its first query."""
    applications = runtime.snapshot.applications.values()
    asked = [(each, runtime.router.arms(each).weights) for each in applications]
    known = [(application, arms) for application, arms in asked if arms]
    for first in range(0, len(known), 64):
        some = known[first : first + 64]
        for application, arms in some:
            runtime.store.peek(application, context=GLOBAL_CONTEXT, arms=arms)
        await runtime.store.refresh([(application.id, GLOBAL_CONTEXT) for application, _ in some])
