"""Liveness, readiness and the numbers for Prometheus."""

from __future__ import annotations

import asyncio

import msgspec

from registry.artifacts.counts import read_fetches_async
from registry.control import read_control_async
from registry.errors import NotReady
from registry.restarts import read_restarts_async
from selection.store.health import read_alarms_async
from selection.store.keys import REDIS_ERRORS, redis_needed
from serving.api.http import Endpoint, Receive, Scope, Send, endpoint, require_method, send_body
from serving.api.shared import shared_by_connections
from serving.cluster.environments import read_numbers_async
from serving.cluster.failures.check_counts import read_checks_async
from serving.metrics.exposition import exposition
from serving.metrics.published import read_published_async
from serving.web.readiness import OK, Readiness, model_readiness
from serving.web.runtime import Runtime

CHECK_TIMEOUT_S = 2.0
DRAINING = "draining"
PROMETHEUS_TYPE = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


def live_endpoint(runtime: Runtime) -> Endpoint:
    """Answers as long as the event loop turns."""

    @endpoint
    async def live(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        await send_body(send, b'{"live":true}')

    return live


def ready_endpoint(runtime: Runtime) -> Endpoint:
    """Ready: the database, Redis and what is routed to can be reached; else 503 says which not.

    `checks` says too what lacks without being in the way of other applications.
    """

    @endpoint
    async def ready(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET", "HEAD")
        if shared_by_connections(scope["state"]).draining:
            raise NotReady("Not ready: this process is draining.", checks={"process": DRAINING})
        found = await _readiness(runtime)
        if found.failing:
            missing = "; ".join(f"{name}: {state}" for name, state in found.failing.items())
            raise NotReady(f"Not ready: {missing}.", checks=found.states)
        await send_body(send, msgspec.json.encode({"ready": True, "checks": found.states}))

    return ready


def metrics_endpoint(runtime: Runtime) -> Endpoint:
    """Prometheus text of every web process, each with its own `process` label."""

    @endpoint
    async def metrics(scope: Scope, receive: Receive, send: Send) -> None:
        require_method(scope, "GET")
        async with redis_needed(timeout_s=CHECK_TIMEOUT_S):
            documents = await read_published_async(runtime.redis)
            control = await read_control_async(runtime.redis)
            restarts = await read_restarts_async(runtime.redis, runtime.snapshot.versions)
            environments = await read_numbers_async(runtime.redis)
            fetches = await read_fetches_async(runtime.redis)
            checks = await read_checks_async(runtime.redis)
            health = await read_alarms_async(runtime.redis)
        arms = {
            version_id: version.arm for version_id, version in runtime.snapshot.versions.items()
        }
        body = await asyncio.to_thread(
            exposition,
            documents,
            control_age_s=control.age_s,
            restarts={
                arms[version_id]: of for version_id, of in restarts.items() if version_id in arms
            },
            environments=environments,
            fetches=fetches,
            checks=checks,
            health=health,
        )
        await send_body(send, body, headers=[PROMETHEUS_TYPE])

    return metrics


async def _readiness(runtime: Runtime) -> Readiness:
    database, redis_state, control = await asyncio.gather(
        _database(runtime), _redis(runtime), _control(runtime)
    )
    found = Readiness()
    found.note("database", database, fails=database != OK)
    found.note("redis", redis_state, fails=redis_state != OK)
    # Told, and no more: another web process would be no better off.
    found.note("control", control)
    if words := runtime.redis_memory.memory.words():
        found.note("redis memory", words)
    models = model_readiness(
        runtime.router,
        connected=runtime.engine.connected,
        records=runtime.records,
        unreachable=runtime.unreachable(),
    )
    found.states |= models.states
    found.failing |= models.failing
    return found


async def _database(runtime: Runtime) -> str:
    try:
        await runtime.in_thread(runtime.spec.check_database, seconds=CHECK_TIMEOUT_S)
    except Exception as error:  # noqa: BLE001  (each database driver has errors of its own)
        return f"cannot be reached ({type(error).__name__})"
    return OK


async def _redis(runtime: Runtime) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await runtime.redis.ping()
    except REDIS_ERRORS as error:
        return f"cannot be reached ({type(error).__name__})"
    return OK


async def _control(runtime: Runtime) -> str:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            control = await read_control_async(runtime.redis)
    except REDIS_ERRORS:
        return "unknown while Redis cannot be reached"
    return control.problem or OK
